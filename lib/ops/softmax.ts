import type { Tensor } from '../tensor.js';
import { alongAxis, type SoftmaxOptions, softmaxOperator } from './internal/softmax.js';
import type { Value } from './operator.js';

export type { SoftmaxOptions } from './internal/softmax.js';

/**
 * y_i = exp(x_i) / Σ_j exp(x_j) along one axis; the largest x is taken out first, so nothing overflows.
 * Source: PyTorch `torch.nn.functional.softmax`.
 * @param x        any shape with that axis, float32 or float64
 * @param options  dim = −1
 * @returns        the shape of x
 * @throws FoveaError ERR_OPTION (dim outside the rank), ERR_SHAPE (a scalar, an empty axis), ERR_DTYPE, ERR_DATA
 */
export function softmax(x: Tensor, options?: SoftmaxOptions): Tensor;
export function softmax(x: Value, options?: SoftmaxOptions): Value;
export function softmax(x: Value, options: SoftmaxOptions = {}): Value {
  return alongAxis(softmaxOperator, x, options);
}
