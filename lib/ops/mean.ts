import { checkOptions } from '../geometry/options.js';
import type { Tensor } from '../tensor.js';
import { operand, sameFloats } from './internal/check.js';
import { constantLike } from './internal/shapes.js';
import { mul } from './mul.js';
import type { Value } from './operator.js';
import { type ReduceOptions, reducedAxes, sum } from './sum.js';

/**
 * Mean over axes: the sum divided by the number of elements that went into it. Source: PyTorch `torch.mean`.
 * @throws FoveaError ERR_OPTION (dims outside the rank), ERR_DTYPE
 */
export function mean(x: Tensor, options?: ReduceOptions): Tensor;
export function mean(x: Value, options?: ReduceOptions): Value;
export function mean(x: Value, options: ReduceOptions = {}): Value {
  const value = operand('mean', 'x', x);
  sameFloats('mean', { x: value });
  checkOptions('mean', options, ['dims', 'keepDims']);
  const axes = reducedAxes('mean', value.shape.length, options.dims);
  const count = [...axes].reduce((product, axis) => product * (value.shape[axis] as number), 1);
  return mul(sum(value, options), constantLike(value, 1 / count));
}
