import { FoveaError, show } from '../errors.js';
import { broadcastsTo } from '../geometry/broadcast.js';
import { formatShape, sizeOf, type Tensor } from '../tensor.js';
import { operand, sameFloats, spec } from './internal/check.js';
import { spreadLike } from './internal/shapes.js';
import { apply1, type Operator, touchedBytes, type Value } from './operator.js';

/** x → y { shape }: the sum over the axes that broadcasting `shape` to x repeats */
export const sumToOperator: Operator = {
  name: 'sumTo',
  infer: (inputs, { shape }) => [{ shape: shape as readonly number[], dtype: spec(inputs, 0).dtype }],
  gradient({ inputs, gradOutputs }) {
    return [spreadLike(inputs[0] as Value, gradOutputs[0] as Value)];
  },
  cost: (inputs, outputs) => ({ flops: sizeOf(spec(inputs, 0).shape), bytes: touchedBytes([...inputs, ...outputs]) }),
};

/**
 * Sums away the axes that broadcasting would have repeated: the gradient of broadcasting. Source: PyTorch `Tensor.sum_to_size`.
 * @param shape  a shape that broadcasts to x's
 * @throws FoveaError ERR_SHAPE, ERR_DTYPE
 */
export function sumTo(x: Tensor, shape: readonly number[]): Tensor;
export function sumTo(x: Value, shape: readonly number[]): Value;
export function sumTo(x: Value, shape: readonly number[]): Value {
  const value = operand('sumTo', 'x', x);
  sameFloats('sumTo', { x: value });
  if (!Array.isArray(shape))
    throw new FoveaError('ERR_OPTION', 'sumTo', `shape must be a list of numbers, got ${show(shape)}`);
  if (!broadcastsTo(shape, value.shape)) {
    throw new FoveaError('ERR_SHAPE', 'sumTo', `${show(shape)} does not broadcast to ${formatShape(value.shape)}`);
  }
  if (value.shape.length === shape.length && value.shape.every((n, i) => n === shape[i])) return value;
  return apply1(sumToOperator, [value], { shape: [...shape] });
}
