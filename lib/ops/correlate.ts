import type { Tensor } from '../tensor.js';
import { type SlideOptions, slide } from './internal/slide.js';
import type { Value } from './operator.js';

export type { SlideOptions } from './internal/slide.js';

/**
 * The correlation of mathematics, in one or two dimensions: (f ⋆ g)[p] = Σ_r f[p + r] · g[r]. Not commutative, not associative.
 * Modes as `scipy.signal.correlate`: 'full' every overlap, 'same' the middle of it in the size of f, 'valid' where one lies
 * within the other.
 * @param f        [L] or [H, W], float32 or float64
 * @param g        of the same rank
 * @param options  mode = 'full'
 * @returns        'full' f + g − 1 along each axis, 'same' f, 'valid' |f − g| + 1
 * @throws FoveaError ERR_SHAPE (ranks; 'valid' when neither holds the other), ERR_OPTION, ERR_DTYPE, ERR_DATA, ERR_MEMORY
 */
export function correlate(f: Tensor, g: Tensor, options?: SlideOptions): Tensor;
export function correlate(f: Value, g: Value, options?: SlideOptions): Value;
export function correlate(f: Value, g: Value, options: SlideOptions = {}): Value {
  return slide('correlate', f, g, options, false);
}
