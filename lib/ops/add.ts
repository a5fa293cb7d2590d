import { broadcastShape } from '../geometry/broadcast.js';
import { checkElements } from '../geometry/window.js';
import { sizeOf, type Tensor } from '../tensor.js';
import { operand, sameFloats, spec } from './internal/check.js';
import { apply1, type Operator, touchedBytes, type Value } from './operator.js';
import { sumTo } from './sum-to.js';

/** a, b → a + b, broadcast */
export const addOperator: Operator = {
  name: 'add',
  infer: (inputs) => [
    { shape: broadcastShape('add', spec(inputs, 0).shape, spec(inputs, 1).shape), dtype: spec(inputs, 0).dtype },
  ],
  gradient: ({ inputs, gradOutputs, wanted }) =>
    inputs.map((input, i) => (wanted[i] ? sumTo(gradOutputs[0] as Value, (input as Value).shape) : null)),
  cost: (inputs, outputs) => ({ flops: sizeOf(spec(outputs, 0).shape), bytes: touchedBytes([...inputs, ...outputs]) }),
};

/**
 * a + b, element by element; shapes broadcast by NumPy's rules: aligned at the last axis, an axis of 1 repeats.
 * @throws FoveaError ERR_SHAPE when the shapes do not broadcast, ERR_DTYPE
 */
export function add(a: Tensor, b: Tensor): Tensor;
export function add(a: Value, b: Value): Value;
export function add(a: Value, b: Value): Value {
  const left = operand('add', 'a', a);
  const right = operand('add', 'b', b);
  sameFloats('add', { a: left, b: right });
  checkElements('add', 'the sum', broadcastShape('add', left.shape, right.shape));
  return apply1(addOperator, [left, right]);
}
