import type { Spec } from '../backend/backend.js';
import { type Conv2dOptions, type ConvAttributes, convGeometry, convOutputShape } from '../geometry/conv.js';
import { sizeOf, type Tensor } from '../tensor.js';
import { operand, optional, rankOf, sameFloats, shapeOf, spec } from './internal/check.js';
import { maskSpec } from './internal/mask.js';
import { spreadLike } from './internal/shapes.js';
import { apply, apply1, type Maybe, type Operator, touchedBytes, type Value } from './operator.js';
import { beforeActivation } from './relu.js';
import { reshape } from './reshape.js';

export type { Conv2dOptions } from '../geometry/conv.js';

// y[n,k,p,q] = b[k] + Σ_{c,r,s} x[n, c, p·sh + r·dh − top, q·sw + s·dw − left] · w[k,c,r,s]
// One multiplication and one addition for each output element and each weight of its filter.
function convFlops(weight: Spec, y: Spec): number {
  return (2 * sizeOf(y.shape) * sizeOf(weight.shape)) / (weight.shape[0] as number);
}

/**
 * x [N,C,H,W], weight [K,C/G,R,S], bias? [K], add? [N,K,P,Q] → y [N,K,P,Q], mean? [K], variance? [K], mask? {
 * ConvAttributes, activation: 'none' | 'relu', withStatistics?, withMask? }: `add` is added before the activation; also mean
 * and biased variance of y for each channel, and the bits of y > 0 (internal/mask.ts). All three are asked for by
 * lib/graph/fold.ts and lib/graph/epilogue.ts alone, after differentiation.
 */
export const conv2dOperator: Operator = {
  name: 'conv2d',
  infer(inputs, attributes) {
    const { dtype } = spec(inputs, 0);
    const y = {
      shape: convOutputShape(spec(inputs, 0).shape, spec(inputs, 1).shape, attributes as ConvAttributes),
      dtype,
    };
    const statistic = attributes.withStatistics ? { shape: [y.shape[1] as number], dtype } : null;
    return [y, statistic, statistic, attributes.withMask ? maskSpec(y) : null];
  },
  gradient({ inputs, outputs, gradOutputs, attributes, wanted }) {
    const [x, weight] = inputs as [Value, Value];
    const { activation, ...conv } = attributes;
    const dy = beforeActivation(activation, gradOutputs[0] as Value, outputs[0] as Value);
    // dx last: what comes next in backward reads it, and finds it in a cache if it is not too large.
    const parameters =
      wanted[1] || wanted[2]
        ? gradWeight(x, dy, conv as ConvAttributes, weight.shape, wanted[2] === true)
        : [null, null];
    return [wanted[0] ? gradInput(dy, weight, conv as ConvAttributes, x.shape) : null, ...parameters];
  },
  cost(inputs, outputs) {
    const y = spec(outputs, 0);
    return {
      flops: convFlops(spec(inputs, 1), y) + sizeOf(y.shape) * [inputs[2], inputs[3]].filter(Boolean).length,
      bytes: touchedBytes([...inputs, ...outputs]),
    };
  },
};

/**
 * dy [N,K,P,Q], weight [K,C/G,R,S], add? [N,C,H,W], mask?, x? [N,C,H,W], mean? [C] → dx [N,C,H,W], sums? [2,C]
 * { ConvAttributes, inputShape }: dx = (gradient + add) where the mask's bit is set, else 0; with x and mean also Σ dx and
 * Σ dx·(x − mean) for each channel. The optional operands come from lib/graph/epilogue.ts alone, after differentiation.
 */
export const conv2dGradInputOperator: Operator = {
  name: 'conv2dGradInput',
  infer(inputs, { inputShape }) {
    const { dtype } = spec(inputs, 0);
    const shape = inputShape as readonly number[];
    return [{ shape, dtype }, inputs[4] ? { shape: [2, shape[1] as number], dtype } : null];
  },
  // Bilinear in dy and weight, as the convolution is in x and weight.
  gradient({ inputs, gradOutputs, attributes, wanted }) {
    const [dy, weight] = inputs as [Value, Value];
    const { inputShape: _, ...conv } = attributes;
    const g = gradOutputs[0] as Value;
    return [
      wanted[0] ? apply1(conv2dOperator, [g, weight, null], { ...conv, activation: 'none' }) : null,
      wanted[1] ? (gradWeight(g, dy, conv as ConvAttributes, weight.shape, false)[0] as Value) : null,
    ];
  },
  cost: (inputs, outputs) => ({
    flops: convFlops(spec(inputs, 1), spec(inputs, 0)),
    bytes: touchedBytes([...inputs, ...outputs]),
  }),
};

/** x [N,C,H,W], dy [N,K,P,Q] → dw [K,C/G,R,S], db? [K] { ConvAttributes, kernelSize: [R,S], withBias } */
export const conv2dGradWeightOperator: Operator = {
  name: 'conv2dGradWeight',
  infer(inputs, { kernelSize, groups, withBias }) {
    const { shape, dtype } = spec(inputs, 0);
    const k = spec(inputs, 1).shape[1] as number;
    const perGroup = (shape[1] as number) / (groups as number);
    return [
      { shape: [k, perGroup, ...(kernelSize as readonly number[])], dtype },
      withBias ? { shape: [k], dtype } : null,
    ];
  },
  gradient({ inputs, gradOutputs, attributes, wanted }) {
    const [x, dy] = inputs as [Value, Value];
    const { kernelSize: _, withBias: __, ...conv } = attributes;
    const [gw, gb] = gradOutputs;
    // db alone is the sum of dy over batch and pixels.
    if (!gw) return [null, wanted[1] && gb ? spreadLike(dy, reshape(gb, [gb.size, 1, 1])) : null];
    return [
      wanted[0] ? gradInput(dy, gw, conv as ConvAttributes, x.shape) : null,
      wanted[1] ? apply1(conv2dOperator, [x, gw, gb], { ...conv, activation: 'none' }) : null,
    ];
  },
  cost(inputs, outputs) {
    const dy = spec(inputs, 1);
    return {
      flops: convFlops(spec(outputs, 0), dy) + (outputs[1] ? sizeOf(dy.shape) : 0),
      bytes: touchedBytes([...inputs, ...outputs]),
    };
  },
};

/** ∂L/∂x from validated attributes. */
export function gradInput(dy: Value, weight: Value, conv: ConvAttributes, inputShape: readonly number[]): Value {
  return apply1(conv2dGradInputOperator, [dy, weight], { ...conv, inputShape });
}

/** [∂L/∂w, ∂L/∂b or null] from validated attributes; `weight` is the shape of the filters. */
export function gradWeight(
  x: Value,
  dy: Value,
  conv: ConvAttributes,
  weight: readonly number[],
  withBias: boolean,
): (Value | null)[] {
  return apply(conv2dGradWeightOperator, [x, dy], { ...conv, kernelSize: weight.slice(2), withBias });
}

/**
 * Slides `weight` over `x` (cross-correlation, or convolution with `flipKernel`):
 * y[n,k,p,q] = bias[k] + Σ_{c,r,s} x[n, c, p·sh + r·dh − top, q·sw + s·dw − left] · weight[k,c,r,s].
 * Sources: PyTorch `torch.nn.functional.conv2d`; Dumoulin & Visin 2016 for the sizes
 * P = ⌊(H + top + bottom − dh·(R − 1) − 1) / sh⌋ + 1.
 * @param x       [N, C, H, W], float32 or float64
 * @param weight  [K, C / groups, R, S]
 * @param bias    [K], or nothing
 * @param options stride = 1, padding = 0, dilation = 1, groups = 1, paddingMode = 'zeros', flipKernel = false, strictStride = false
 * @returns       [N, K, P, Q]
 * @throws FoveaError ERR_SHAPE (ranks, channels, groups that do not divide, a kernel larger than the padded input),
 *   ERR_OPTION (hyperparameters, unknown option names), ERR_DTYPE, ERR_DATA (a detached array), ERR_MEMORY (2^31 elements and more)
 * @example       const y = ops.conv2d(x, w, b, { padding: 1 });
 */
export function conv2d(x: Tensor, weight: Tensor, bias?: Maybe<Tensor>, options?: Conv2dOptions): Tensor;
export function conv2d(x: Value, weight: Value, bias?: Maybe<Value>, options?: Conv2dOptions): Value;
export function conv2d(x: Value, weight: Value, bias?: Maybe<Value>, options: Conv2dOptions = {}): Value {
  const checked = checkConv('conv2d', x, weight, bias, options);
  return apply1(conv2dOperator, [checked.x, checked.weight, checked.bias], {
    ...checked.geometry.attributes,
    activation: 'none',
  });
}

function checkConv(operator: string, x: unknown, weight: unknown, bias: unknown, options: Conv2dOptions) {
  const operands = {
    x: operand(operator, 'x', x),
    weight: operand(operator, 'weight', weight),
    bias: optional(operator, 'bias', bias),
  };
  sameFloats(operator, operands);
  rankOf(operator, 'x', operands.x, 'N, C, H, W');
  rankOf(operator, 'weight', operands.weight, 'K, C / groups, R, S');
  const geometry = convGeometry(operator, operands.x.shape, operands.weight.shape, operands.bias?.shape, options);
  return { ...operands, geometry };
}

/** Gradients of a layer with weights. */
export interface WeightedGradients<T extends Value = Value> {
  gradInput: T;
  gradWeight: T;
  gradBias: T;
}

/**
 * The gradient of `conv2d`, by name:
 * ∂L/∂x is the full convolution of the upstream gradient (spread by the stride) with the kernel, ∂L/∂w the correlation of
 * the input with the upstream gradient, ∂L/∂b its sum over batch and pixels. Source: Dumoulin & Visin 2016, section 4.
 * @param gradOutput  [N, K, P, Q], as `conv2d(x, weight, null, options)` is shaped
 * @param options     those of the forward call
 * @returns gradInput [N, C, H, W], gradWeight [K, C / groups, R, S], gradBias [K]
 * @throws FoveaError as `conv2d`, and ERR_SHAPE when gradOutput has another shape
 */
export function conv2dBackward(
  gradOutput: Tensor,
  x: Tensor,
  weight: Tensor,
  options?: Conv2dOptions,
): WeightedGradients<Tensor>;
export function conv2dBackward(gradOutput: Value, x: Value, weight: Value, options?: Conv2dOptions): WeightedGradients;
export function conv2dBackward(
  gradOutput: Value,
  x: Value,
  weight: Value,
  options: Conv2dOptions = {},
): WeightedGradients {
  const name = 'conv2dBackward';
  const checked = checkConv(name, x, weight, null, options);
  const dy = operand(name, 'gradOutput', gradOutput);
  sameFloats(name, { x: checked.x, gradOutput: dy });
  shapeOf(name, 'gradOutput', dy, checked.geometry.outputShape, ', the shape of the output');
  const { attributes } = checked.geometry;
  const [dw, db] = gradWeight(checked.x, dy, attributes, checked.weight.shape, true) as [Value, Value];
  return { gradInput: gradInput(dy, checked.weight, attributes, checked.x.shape), gradWeight: dw, gradBias: db };
}
