import { flag } from '../geometry/options.js';
import { type Pool2dOptions, poolGeometry } from '../geometry/pool.js';
import { sizeOf, type Tensor } from '../tensor.js';
import { operand, rankOf, sameFloats, shapeOf, spec } from './internal/check.js';
import { dilatedAvgPool2d } from './internal/dilated-avg-pool2d.js';
import { apply1, type InputGradient, type Operator, touchedBytes, type Value } from './operator.js';

export interface AvgPool2dOptions extends Pool2dOptions {
  /** Does the divisor count padding? Default true. What `ceilMode` hangs over beyond the padding never counts. */
  readonly countIncludePad?: boolean;
}

const optionNames = ['kernelSize', 'stride', 'padding', 'dilation', 'ceilMode', 'countIncludePad'];

/** x [N,C,H,W] → y [N,C,P,Q] { kernelSize, stride, padding, outputSize, countIncludePad } */
export const avgPool2dOperator: Operator = {
  name: 'avgPool2d',
  infer(inputs, { outputSize }) {
    const { shape, dtype } = spec(inputs, 0);
    return [{ shape: [...shape.slice(0, 2), ...(outputSize as readonly number[])], dtype }];
  },
  gradient: ({ inputs, gradOutputs, attributes }) => [
    apply1(avgPool2dBackwardOperator, [gradOutputs[0]], { ...attributes, inputShape: (inputs[0] as Value).shape }),
  ],
  cost: (inputs, outputs, { kernelSize }) => ({
    flops: sizeOf(spec(outputs, 0).shape) * sizeOf(kernelSize as readonly number[]),
    bytes: touchedBytes([...inputs, ...outputs]),
  }),
};

/** dy [N,C,P,Q] → dx [N,C,H,W] { as avgPool2d, inputShape } */
export const avgPool2dBackwardOperator: Operator = {
  name: 'avgPool2dBackward',
  infer: (inputs, { inputShape }) => [{ shape: inputShape as readonly number[], dtype: spec(inputs, 0).dtype }],
  gradient({ gradOutputs, attributes }) {
    const { inputShape: _, ...pool } = attributes;
    return [apply1(avgPool2dOperator, [gradOutputs[0]], pool)];
  },
  cost: (inputs, outputs, { kernelSize }) => ({
    flops: sizeOf(spec(inputs, 0).shape) * sizeOf(kernelSize as readonly number[]),
    bytes: touchedBytes([...inputs, ...outputs]),
  }),
};

function checkPool(operator: string, x: unknown, options: AvgPool2dOptions) {
  const value = operand(operator, 'x', x);
  sameFloats(operator, { x: value });
  rankOf(operator, 'x', value, 'N, C, H, W');
  const geometry = poolGeometry(operator, value.shape, options, optionNames);
  const countIncludePad = flag(operator, 'countIncludePad', options.countIncludePad ?? true);
  const { dilation, ...attributes } = geometry.attributes;
  return {
    x: value,
    geometry,
    attributes: { ...attributes, countIncludePad },
    dilated: dilation.some((d) => d !== 1),
    countIncludePad,
  };
}

/**
 * The mean of each window: y[n,c,p,q] = 1/m · Σ_{r,s} x[n, c, p·sh + r·dh − top, q·sw + s·dw − left], where m counts the pixels of
 * the window, with or without padding. Source: PyTorch `torch.nn.functional.avg_pool2d` (which has no dilation).
 * @param x        [N, C, H, W], float32 or float64
 * @param options  kernelSize, stride = kernelSize, padding = 0 (at most half a window), dilation = 1, ceilMode = false,
 *   countIncludePad = true
 * @returns        [N, C, P, Q]
 * @throws FoveaError ERR_SHAPE (rank, a window larger than the padded input), ERR_OPTION, ERR_DTYPE, ERR_DATA, ERR_MEMORY
 */
export function avgPool2d(x: Tensor, options: AvgPool2dOptions): Tensor;
export function avgPool2d(x: Value, options: AvgPool2dOptions): Value;
export function avgPool2d(x: Value, options: AvgPool2dOptions): Value {
  const checked = checkPool('avgPool2d', x, options);
  if (checked.dilated) return dilatedAvgPool2d(checked.x, checked.geometry, checked.countIncludePad).forward();
  return apply1(avgPool2dOperator, [checked.x], checked.attributes);
}

/**
 * The gradient of `avgPool2d`, by name: each pixel of a window takes 1/m of the window's gradient.
 * @param gradOutput  [N, C, P, Q]
 * @param options     those of the forward call
 * @returns           gradInput [N, C, H, W]
 * @throws FoveaError as `avgPool2d`, and ERR_SHAPE when gradOutput has another shape
 */
export function avgPool2dBackward(gradOutput: Tensor, x: Tensor, options: AvgPool2dOptions): InputGradient<Tensor>;
export function avgPool2dBackward(gradOutput: Value, x: Value, options: AvgPool2dOptions): InputGradient;
export function avgPool2dBackward(gradOutput: Value, x: Value, options: AvgPool2dOptions): InputGradient {
  const name = 'avgPool2dBackward';
  const checked = checkPool(name, x, options);
  const dy = operand(name, 'gradOutput', gradOutput);
  sameFloats(name, { x: checked.x, gradOutput: dy });
  shapeOf(name, 'gradOutput', dy, checked.geometry.outputShape, ', the shape of the output');
  if (checked.dilated)
    return { gradInput: dilatedAvgPool2d(checked.x, checked.geometry, checked.countIncludePad).backward(dy) };
  return { gradInput: apply1(avgPool2dBackwardOperator, [dy], { ...checked.attributes, inputShape: checked.x.shape }) };
}
