import type { Tensor } from '../tensor.js';
import { add } from './add.js';
import { operand, sameFloats } from './internal/check.js';
import { constantLike } from './internal/shapes.js';
import { mul } from './mul.js';
import type { Value } from './operator.js';

/**
 * a − b, element by element; shapes broadcast by NumPy's rules. Written as a + (−1)·b, which rounds the same.
 * @throws FoveaError ERR_SHAPE when the shapes do not broadcast, ERR_DTYPE
 */
export function sub(a: Tensor, b: Tensor): Tensor;
export function sub(a: Value, b: Value): Value;
export function sub(a: Value, b: Value): Value {
  const left = operand('sub', 'a', a);
  const right = operand('sub', 'b', b);
  sameFloats('sub', { a: left, b: right });
  return add(left, mul(right, constantLike(right, -1)));
}
