import { adaptiveSize } from '../geometry/pool.js';
import { sizeOf, type Tensor } from '../tensor.js';
import { operand, rankOf, sameFloats, shapeOf, spec } from './internal/check.js';
import { apply1, type InputGradient, type Operator, touchedBytes, type Value } from './operator.js';

/** P = Q, or [P, Q]; null keeps the size of the input along that axis. */
export type AdaptiveSize = number | readonly [number | null, number | null];

/** x [N,C,H,W] → y [N,C,P,Q] { outputSize } */
export const adaptiveAvgPool2dOperator: Operator = {
  name: 'adaptiveAvgPool2d',
  infer(inputs, { outputSize }) {
    const { shape, dtype } = spec(inputs, 0);
    return [{ shape: [...shape.slice(0, 2), ...(outputSize as readonly number[])], dtype }];
  },
  gradient: ({ inputs, gradOutputs, attributes }) => [
    apply1(adaptiveAvgPool2dBackwardOperator, [gradOutputs[0]], {
      ...attributes,
      inputShape: (inputs[0] as Value).shape,
    }),
  ],
  cost: (inputs, outputs) => ({ flops: sizeOf(spec(inputs, 0).shape), bytes: touchedBytes([...inputs, ...outputs]) }),
};

/** dy [N,C,P,Q] → dx [N,C,H,W] { outputSize, inputShape } */
export const adaptiveAvgPool2dBackwardOperator: Operator = {
  name: 'adaptiveAvgPool2dBackward',
  infer: (inputs, { inputShape }) => [{ shape: inputShape as readonly number[], dtype: spec(inputs, 0).dtype }],
  gradient: ({ gradOutputs, attributes }) => [
    apply1(adaptiveAvgPool2dOperator, [gradOutputs[0]], { outputSize: attributes.outputSize as readonly number[] }),
  ],
  cost: (inputs, outputs) => ({ flops: sizeOf(spec(outputs, 0).shape), bytes: touchedBytes([...inputs, ...outputs]) }),
};

function checkPool(operator: string, x: unknown, outputSize: unknown) {
  const value = operand(operator, 'x', x);
  sameFloats(operator, { x: value });
  rankOf(operator, 'x', value, 'N, C, H, W');
  return { x: value, attributes: { outputSize: adaptiveSize(operator, value.shape, outputSize) } };
}

/**
 * Means over a grid of nearly equal windows: output row p averages the input rows ⌊p·H/P⌋ … ⌈(p + 1)·H/P⌉ − 1, columns likewise.
 * Source: PyTorch `torch.nn.functional.adaptive_avg_pool2d`.
 * @param x           [N, C, H, W], float32 or float64
 * @param outputSize  P = Q, or [P, Q]; null keeps an axis
 * @returns           [N, C, P, Q]
 * @throws FoveaError ERR_SHAPE (rank), ERR_OPTION (sizes), ERR_DTYPE, ERR_DATA, ERR_MEMORY
 */
export function adaptiveAvgPool2d(x: Tensor, outputSize: AdaptiveSize): Tensor;
export function adaptiveAvgPool2d(x: Value, outputSize: AdaptiveSize): Value;
export function adaptiveAvgPool2d(x: Value, outputSize: AdaptiveSize): Value {
  const checked = checkPool('adaptiveAvgPool2d', x, outputSize);
  return apply1(adaptiveAvgPool2dOperator, [checked.x], checked.attributes);
}

/**
 * The gradient of `adaptiveAvgPool2d`, by name.
 * @param gradOutput  [N, C, P, Q]
 * @returns           gradInput [N, C, H, W]
 * @throws FoveaError as `adaptiveAvgPool2d`, and ERR_SHAPE when gradOutput has another shape
 */
export function adaptiveAvgPool2dBackward(
  gradOutput: Tensor,
  x: Tensor,
  outputSize: AdaptiveSize,
): InputGradient<Tensor>;
export function adaptiveAvgPool2dBackward(gradOutput: Value, x: Value, outputSize: AdaptiveSize): InputGradient;
export function adaptiveAvgPool2dBackward(gradOutput: Value, x: Value, outputSize: AdaptiveSize): InputGradient {
  const name = 'adaptiveAvgPool2dBackward';
  const checked = checkPool(name, x, outputSize);
  const dy = operand(name, 'gradOutput', gradOutput);
  sameFloats(name, { x: checked.x, gradOutput: dy });
  const shape = [...checked.x.shape.slice(0, 2), ...checked.attributes.outputSize];
  shapeOf(name, 'gradOutput', dy, shape, ', the shape of the output');
  return {
    gradInput: apply1(adaptiveAvgPool2dBackwardOperator, [dy], { ...checked.attributes, inputShape: checked.x.shape }),
  };
}
