import { broadcastShape } from '../geometry/broadcast.js';
import { checkElements } from '../geometry/window.js';
import { sizeOf, type Tensor } from '../tensor.js';
import { operand, sameFloats, spec } from './internal/check.js';
import { apply1, type Operator, touchedBytes, type Value } from './operator.js';
import { sumTo } from './sum-to.js';

/** a, b → a · b, broadcast */
export const mulOperator: Operator = {
  name: 'mul',
  infer: (inputs) => [
    { shape: broadcastShape('mul', spec(inputs, 0).shape, spec(inputs, 1).shape), dtype: spec(inputs, 0).dtype },
  ],
  gradient({ inputs, gradOutputs, wanted }) {
    const [a, b] = inputs as [Value, Value];
    const dy = gradOutputs[0] as Value;
    return [wanted[0] ? sumTo(mul(dy, b), a.shape) : null, wanted[1] ? sumTo(mul(dy, a), b.shape) : null];
  },
  cost: (inputs, outputs) => ({ flops: sizeOf(spec(outputs, 0).shape), bytes: touchedBytes([...inputs, ...outputs]) }),
};

/**
 * a · b, element by element; shapes broadcast by NumPy's rules.
 * @throws FoveaError ERR_SHAPE when the shapes do not broadcast, ERR_DTYPE
 */
export function mul(a: Tensor, b: Tensor): Tensor;
export function mul(a: Value, b: Value): Value;
export function mul(a: Value, b: Value): Value {
  const left = operand('mul', 'a', a);
  const right = operand('mul', 'b', b);
  sameFloats('mul', { a: left, b: right });
  checkElements('mul', 'the product', broadcastShape('mul', left.shape, right.shape));
  return apply1(mulOperator, [left, right]);
}
