import { sizeOf, type Tensor } from '../tensor.js';
import { operand, sameFloats, spec } from './internal/check.js';
import { apply1, type Operator, touchedBytes, type Value } from './operator.js';

const elementwise: Operator['cost'] = (inputs, outputs) => ({
  flops: sizeOf(spec(outputs, 0).shape),
  bytes: touchedBytes([...inputs, ...outputs]),
});

/** x → max(x, 0) */
export const reluOperator: Operator = {
  name: 'relu',
  infer: (inputs) => [spec(inputs, 0)],
  gradient: ({ outputs, gradOutputs }) => [apply1(reluBackwardOperator, [gradOutputs[0], outputs[0]])],
  cost: elementwise,
};

/** dy, y → dx = dy where y > 0, else 0 */
export const reluBackwardOperator: Operator = {
  name: 'reluBackward',
  infer: (inputs) => [spec(inputs, 0)],
  // Linear in dy; the step in y has slope 0.
  gradient: ({ inputs, gradOutputs, wanted }) => [
    wanted[0] ? apply1(reluBackwardOperator, [gradOutputs[0], inputs[1]]) : null,
    null,
  ],
  cost: elementwise,
};

/** The gradient before a fused activation, from the gradient after it. */
export function beforeActivation(activation: unknown, dy: Value, y: Value): Value {
  return activation === 'relu' ? apply1(reluBackwardOperator, [dy, y]) : dy;
}

/**
 * max(x, 0), element by element; NaN stays NaN. The gradient at 0 is 0. Source: PyTorch `torch.nn.functional.relu`.
 * @throws FoveaError ERR_DTYPE
 */
export function relu(x: Tensor): Tensor;
export function relu(x: Value): Value;
export function relu(x: Value): Value {
  const value = operand('relu', 'x', x);
  sameFloats('relu', { x: value });
  return apply1(reluOperator, [value]);
}
