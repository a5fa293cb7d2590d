import { type Conv1dOptions, convGeometry } from '../geometry/conv.js';
import type { Tensor } from '../tensor.js';
import { conv2dOperator, gradInput, gradWeight, type WeightedGradients } from './conv2d.js';
import { operand, optional, rankOf, sameFloats, shapeOf } from './internal/check.js';
import { apply1, type Maybe, type Value } from './operator.js';
import { reshape } from './reshape.js';

export type { Conv1dOptions } from '../geometry/conv.js';

/** [N, C, L] → [N, C, 1, L]: a 1-D convolution is a 2-D one of height 1. */
function asRows(x: Value): Value {
  const [n, c, l] = x.shape as [number, number, number];
  return reshape(x, [n, c, 1, l]);
}

/**
 * Slides `weight` over `x` along one axis (cross-correlation, or convolution with `flipKernel`):
 * y[n,k,p] = bias[k] + Σ_{c,r} x[n, c, p·stride + r·dilation − left] · weight[k,c,r].
 * Sources: PyTorch `torch.nn.functional.conv1d`; size P = ⌊(L + left + right − dilation·(R − 1) − 1) / stride⌋ + 1.
 * @param x       [N, C, L], float32 or float64
 * @param weight  [K, C / groups, R]
 * @param bias    [K], or nothing
 * @param options stride = 1, padding = 0 (a number, [[left, right]], 'valid', 'same', 'full'), dilation = 1, groups = 1,
 *   paddingMode = 'zeros', flipKernel = false, strictStride = false
 * @returns       [N, K, P]
 * @throws FoveaError ERR_SHAPE, ERR_OPTION, ERR_DTYPE, ERR_DATA, ERR_MEMORY, each as `conv2d`
 */
export function conv1d(x: Tensor, weight: Tensor, bias?: Maybe<Tensor>, options?: Conv1dOptions): Tensor;
export function conv1d(x: Value, weight: Value, bias?: Maybe<Value>, options?: Conv1dOptions): Value;
export function conv1d(x: Value, weight: Value, bias?: Maybe<Value>, options: Conv1dOptions = {}): Value {
  const checked = checkConv('conv1d', x, weight, bias, options);
  const { attributes, outputShape } = checked.geometry;
  const inputs = [asRows(checked.x), asRows(checked.weight), checked.bias];
  return reshape(apply1(conv2dOperator, inputs, { ...attributes, activation: 'none' }), outputShape);
}

function checkConv(operator: string, x: unknown, weight: unknown, bias: unknown, options: Conv1dOptions) {
  const operands = {
    x: operand(operator, 'x', x),
    weight: operand(operator, 'weight', weight),
    bias: optional(operator, 'bias', bias),
  };
  sameFloats(operator, operands);
  rankOf(operator, 'x', operands.x, 'N, C, L');
  rankOf(operator, 'weight', operands.weight, 'K, C / groups, R');
  return {
    ...operands,
    geometry: convGeometry(operator, operands.x.shape, operands.weight.shape, operands.bias?.shape, options),
  };
}

/**
 * The gradient of `conv1d`, by name; see `conv2dBackward`.
 * @param gradOutput  [N, K, P]
 * @returns gradInput [N, C, L], gradWeight [K, C / groups, R], gradBias [K]
 * @throws FoveaError as `conv1d`, and ERR_SHAPE when gradOutput has another shape
 */
export function conv1dBackward(
  gradOutput: Tensor,
  x: Tensor,
  weight: Tensor,
  options?: Conv1dOptions,
): WeightedGradients<Tensor>;
export function conv1dBackward(gradOutput: Value, x: Value, weight: Value, options?: Conv1dOptions): WeightedGradients;
export function conv1dBackward(
  gradOutput: Value,
  x: Value,
  weight: Value,
  options: Conv1dOptions = {},
): WeightedGradients {
  const name = 'conv1dBackward';
  const checked = checkConv(name, x, weight, null, options);
  const dy = operand(name, 'gradOutput', gradOutput);
  sameFloats(name, { x: checked.x, gradOutput: dy });
  const { attributes, outputShape } = checked.geometry;
  shapeOf(name, 'gradOutput', dy, outputShape, ', the shape of the output');
  const [rows, input, kernel] = [asRows(dy), asRows(checked.x), asRows(checked.weight)];
  const [dw, db] = gradWeight(input, rows, attributes, kernel.shape, true) as [Value, Value];
  return {
    gradInput: reshape(gradInput(rows, kernel, attributes, input.shape), checked.x.shape),
    gradWeight: reshape(dw, checked.weight.shape),
    gradBias: db,
  };
}
