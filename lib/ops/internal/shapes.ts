import { Tensor } from '../../tensor.js';
import { add } from '../add.js';
import type { Value } from '../operator.js';
import { reshape } from '../reshape.js';

/** `reshape` that records nothing when there is nothing to do. */
export function withShape(x: Value, shape: readonly number[]): Value {
  if (x.shape.length === shape.length && x.shape.every((n, i) => n === shape[i])) return x;
  return reshape(x, shape);
}

/** A constant like `x`: of its dtype, every element `value`. */
export function constantLike(x: Value, value: number, shape: readonly number[] = []): Tensor {
  return Tensor.full(shape, value, x.dtype);
}

/** `value`, shaped to broadcast, repeated to the shape of `like`. */
export function spreadLike(like: Value, value: Value): Value {
  return add(value, constantLike(like, 0, like.shape));
}
