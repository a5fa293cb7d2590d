import { broadcastShape } from '../geometry/broadcast.js';
import { checkElements } from '../geometry/window.js';
import { sizeOf, type Tensor } from '../tensor.js';
import { operand, sameFloats, spec } from './internal/check.js';
import { constantLike } from './internal/shapes.js';
import { mul } from './mul.js';
import { apply1, type Operator, touchedBytes, type Value } from './operator.js';
import { sumTo } from './sum-to.js';

/** a, b → a − b, broadcast */
export const subOperator: Operator = {
  name: 'sub',
  infer: (inputs) => [
    { shape: broadcastShape('sub', spec(inputs, 0).shape, spec(inputs, 1).shape), dtype: spec(inputs, 0).dtype },
  ],
  gradient({ inputs, gradOutputs, wanted }) {
    const [a, b] = inputs as [Value, Value];
    const dy = gradOutputs[0] as Value;
    const db = () => mul(sumTo(dy, b.shape), constantLike(dy, -1));
    return [wanted[0] ? sumTo(dy, a.shape) : null, wanted[1] ? db() : null];
  },
  cost: (inputs, outputs) => ({ flops: sizeOf(spec(outputs, 0).shape), bytes: touchedBytes([...inputs, ...outputs]) }),
};

/**
 * a − b, element by element; shapes broadcast by NumPy's rules.
 * @throws FoveaError ERR_SHAPE when the shapes do not broadcast, ERR_DTYPE
 */
export function sub(a: Tensor, b: Tensor): Tensor;
export function sub(a: Value, b: Value): Value;
export function sub(a: Value, b: Value): Value {
  const left = operand('sub', 'a', a);
  const right = operand('sub', 'b', b);
  sameFloats('sub', { a: left, b: right });
  checkElements('sub', 'the difference', broadcastShape('sub', left.shape, right.shape));
  return apply1(subOperator, [left, right]);
}
