import { FoveaError } from '../../errors.js';
import { convGeometry } from '../../geometry/conv.js';
import { checkOptions, choice } from '../../geometry/options.js';
import { checkNotEmpty } from '../../geometry/window.js';
import { formatShape } from '../../tensor.js';
import { conv2dOperator } from '../conv2d.js';
import { apply1, type Value } from '../operator.js';
import { reshape } from '../reshape.js';
import { operand, sameFloats } from './check.js';

export interface SlideOptions {
  /** Which overlaps count. Default 'full'. */
  readonly mode?: 'full' | 'same' | 'valid';
}

/** Zeros before and after an axis of f elements under a kernel of g. 'same' begins ⌊(g − 1) / 2⌋ into 'full', as SciPy does. */
function padding(mode: 'full' | 'same' | 'valid', f: number, g: number): [before: number, after: number] {
  switch (mode) {
    case 'full':
      return [g - 1, g - 1];
    case 'same':
      return [Math.ceil((g - 1) / 2), Math.floor((g - 1) / 2)];
    case 'valid': // a longer g slides over f instead: the same sums
      return g > f ? [g - f, g - f] : [0, 0];
    default:
      return mode satisfies never;
  }
}

/** Convolution and correlation of two signals or two images, by way of `conv2d`. */
export function slide(operator: string, f: unknown, g: unknown, options: SlideOptions, flipKernel: boolean): Value {
  const [left, right] = [operand(operator, 'f', f), operand(operator, 'g', g)];
  sameFloats(operator, { f: left, g: right });
  checkOptions(operator, options, ['mode']);
  const mode = choice(operator, 'mode', options.mode ?? 'full', ['full', 'same', 'valid']);
  const rank = left.shape.length;
  const both = `f ${formatShape(left.shape)}, g ${formatShape(right.shape)}`;
  if (rank < 1 || rank > 2 || right.shape.length !== rank) {
    throw new FoveaError('ERR_SHAPE', operator, `f and g must both be [L] or both [H, W], got ${both}`);
  }
  checkNotEmpty(operator, 'f', left.shape);
  checkNotEmpty(operator, 'g', right.shape);
  const [h, w] = (rank === 1 ? [1, ...left.shape] : left.shape) as [number, number];
  const [r, s] = (rank === 1 ? [1, ...right.shape] : right.shape) as [number, number];
  if (mode === 'valid' && !((r <= h && s <= w) || (r >= h && s >= w))) {
    throw new FoveaError('ERR_SHAPE', operator, `'valid' needs one to lie within the other along every axis (${both})`);
  }
  const sides = [padding(mode, h, r), padding(mode, w, s)] as const;
  const [x, kernel] = [reshape(left, [1, 1, h, w]), reshape(right, [1, 1, r, s])];
  const { attributes } = convGeometry(operator, x.shape, kernel.shape, undefined, { padding: sides, flipKernel });
  const y = apply1(conv2dOperator, [x, kernel, null], { ...attributes, activation: 'none' });
  return reshape(y, y.shape.slice(4 - rank));
}
