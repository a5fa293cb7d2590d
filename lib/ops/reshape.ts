import { FoveaError, show } from '../errors.js';
import { resolveShape, Tensor } from '../tensor.js';
import { operand } from './internal/check.js';
import { apply1, type Operator, type Value } from './operator.js';

/** x → the same elements under another shape { shape } */
export const reshapeOperator: Operator = {
  name: 'reshape',
  infer: ([x], { shape }) => [{ shape: shape as readonly number[], dtype: x?.dtype ?? 'float32' }],
  gradient: ({ inputs, gradOutputs }) => [reshape(gradOutputs[0] as Value, (inputs[0] as Value).shape)],
  cost: () => ({ flops: 0, bytes: 0 }),
};

/**
 * The same elements in the same order under another shape; a tensor's array is shared, not copied.
 * Source: PyTorch `torch.reshape`.
 * @param shape  whole numbers; one may be -1 and takes what is left
 * @throws FoveaError ERR_SHAPE when the sizes differ, ERR_OPTION for a shape that is no list of numbers
 */
export function reshape(x: Tensor, shape: readonly number[]): Tensor;
export function reshape(x: Value, shape: readonly number[]): Value;
export function reshape(x: Value, shape: readonly number[]): Value {
  const value = operand('reshape', 'x', x);
  if (!Array.isArray(shape) || !shape.every((n) => Number.isSafeInteger(n) && n >= -1)) {
    throw new FoveaError('ERR_OPTION', 'reshape', `shape must be a list of whole numbers >= -1, got ${show(shape)}`);
  }
  const resolved = resolveShape(shape, value.shape, 'reshape');
  return value instanceof Tensor
    ? new Tensor(resolved, value.data)
    : apply1(reshapeOperator, [value], { shape: resolved });
}
