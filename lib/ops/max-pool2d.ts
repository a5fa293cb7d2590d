import { type Pool2dOptions, type PoolAttributes, poolGeometry } from '../geometry/pool.js';
import { sizeOf, type Tensor } from '../tensor.js';
import { operand, rankOf, sameFloats, shapeOf, spec } from './internal/check.js';
import { apply, apply1, type InputGradient, type Operator, touchedBytes, type Value } from './operator.js';

export type MaxPool2dOptions = Pool2dOptions;

const optionNames = ['kernelSize', 'stride', 'padding', 'dilation', 'ceilMode'];

/** x [N,C,H,W] → y [N,C,P,Q], indices?: position r·S + s in the window { PoolAttributes } */
export const maxPool2dOperator: Operator = {
  name: 'maxPool2d',
  optionalOutputs: [1],
  infer(inputs, attributes) {
    const { shape, dtype } = spec(inputs, 0);
    const { outputSize, kernelSize } = attributes as PoolAttributes;
    const output = [...shape.slice(0, 2), ...outputSize];
    return [
      { shape: output, dtype },
      { shape: output, dtype: sizeOf(kernelSize) <= 256 ? 'uint8' : 'int32' },
    ];
  },
  gradient({ inputs, outputs, gradOutputs, attributes }) {
    const inputShape = (inputs[0] as Value).shape;
    return [
      gradOutputs[0]
        ? apply1(maxPool2dBackwardOperator, [gradOutputs[0], outputs[1]], { ...attributes, inputShape })
        : null,
    ];
  },
  cost: (inputs, outputs, { kernelSize }) => ({
    flops: sizeOf(spec(outputs, 0).shape) * (sizeOf(kernelSize as readonly number[]) - 1), // comparisons
    bytes: touchedBytes([...inputs, ...outputs]),
  }),
};

/** dy [N,C,P,Q], indices → dx [N,C,H,W] { PoolAttributes, inputShape } */
export const maxPool2dBackwardOperator: Operator = {
  name: 'maxPool2dBackward',
  infer: (inputs, { inputShape }) => [{ shape: inputShape as readonly number[], dtype: spec(inputs, 0).dtype }],
  cost: (inputs, outputs) => ({ flops: sizeOf(spec(inputs, 0).shape), bytes: touchedBytes([...inputs, ...outputs]) }),
};

function checkPool(operator: string, x: unknown, options: MaxPool2dOptions) {
  const value = operand(operator, 'x', x);
  sameFloats(operator, { x: value });
  rankOf(operator, 'x', value, 'N, C, H, W');
  return { x: value, geometry: poolGeometry(operator, value.shape, options, optionNames) };
}

/**
 * The largest value of each window: y[n,c,p,q] = max_{r,s} x[n, c, p·sh + r·dh − top, q·sw + s·dw − left]. Padding counts as −∞;
 * a NaN in the window wins. Source: PyTorch `torch.nn.functional.max_pool2d`.
 * @param x        [N, C, H, W], float32 or float64
 * @param options  kernelSize, stride = kernelSize, padding = 0 (at most half a window), dilation = 1, ceilMode = false
 * @returns        [N, C, P, Q]
 * @throws FoveaError ERR_SHAPE (rank, a window larger than the padded input), ERR_OPTION, ERR_DTYPE, ERR_DATA, ERR_MEMORY
 */
export function maxPool2d(x: Tensor, options: MaxPool2dOptions): Tensor;
export function maxPool2d(x: Value, options: MaxPool2dOptions): Value;
export function maxPool2d(x: Value, options: MaxPool2dOptions): Value {
  const checked = checkPool('maxPool2d', x, options);
  return apply1(maxPool2dOperator, [checked.x], checked.geometry.attributes);
}

/**
 * The gradient of `maxPool2d`, by name: each gradient goes to the first maximum of its window.
 * @param gradOutput  [N, C, P, Q]
 * @param options     those of the forward call
 * @returns           gradInput [N, C, H, W]
 * @throws FoveaError as `maxPool2d`, and ERR_SHAPE when gradOutput has another shape
 */
export function maxPool2dBackward(gradOutput: Tensor, x: Tensor, options: MaxPool2dOptions): InputGradient<Tensor>;
export function maxPool2dBackward(gradOutput: Value, x: Value, options: MaxPool2dOptions): InputGradient;
export function maxPool2dBackward(gradOutput: Value, x: Value, options: MaxPool2dOptions): InputGradient {
  const name = 'maxPool2dBackward';
  const checked = checkPool(name, x, options);
  const dy = operand(name, 'gradOutput', gradOutput);
  sameFloats(name, { x: checked.x, gradOutput: dy });
  const { attributes, outputShape } = checked.geometry;
  shapeOf(name, 'gradOutput', dy, outputShape, ', the shape of the output');
  const [, indices] = apply(maxPool2dOperator, [checked.x], attributes);
  return {
    gradInput: apply1(maxPool2dBackwardOperator, [dy, indices], { ...attributes, inputShape: checked.x.shape }),
  };
}
