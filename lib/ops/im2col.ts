import { type Conv2dOptions, type ConvAttributes, windowAxes, windowOutput } from '../geometry/conv.js';
import { checkOptions, perAxis } from '../geometry/options.js';
import { checkElements, checkFits, checkNotEmpty, outputSize } from '../geometry/window.js';
import type { Tensor } from '../tensor.js';
import { col2imOperator } from './col2im.js';
import { operand, rankOf, sameFloats, spec } from './internal/check.js';
import { apply1, type Operator, touchedBytes, type Value } from './operator.js';

/** The window options that im2col and col2im share with `conv2d`. */
export type Im2colOptions = Pick<Conv2dOptions, 'stride' | 'padding' | 'dilation'>;
/** What the backends are told about the window. */
export type ColumnAttributes = Pick<ConvAttributes, 'stride' | 'padding' | 'dilation'> &
  Readonly<{ kernelSize: readonly number[] }>;

/** x [N,C,H,W] → columns [N, C·R·S, P·Q] { kernelSize, stride, padding, dilation } */
export const im2colOperator: Operator = {
  name: 'im2col',
  infer(inputs, attributes) {
    const { shape, dtype } = spec(inputs, 0);
    const { kernelSize, ...window } = attributes as ColumnAttributes;
    const [r, s] = kernelSize as [number, number];
    const [p, q] = windowOutput(shape, kernelSize, window) as [number, number];
    return [{ shape: [shape[0] as number, (shape[1] as number) * r * s, p * q], dtype }];
  },
  gradient({ inputs, gradOutputs, attributes }) {
    const outputSize = (inputs[0] as Value).shape.slice(2);
    return [apply1(col2imOperator, [gradOutputs[0]], { ...attributes, outputSize })];
  },
  cost: (inputs, outputs) => ({ flops: 0, bytes: touchedBytes([...inputs, ...outputs]) }),
};

/**
 * Attributes and [P, Q] of windows over [N, C, H, W]. @throws FoveaError ERR_SHAPE, ERR_OPTION, ERR_MEMORY
 */
export function columnGeometry(
  operator: string,
  x: readonly number[],
  kernelSize: unknown,
  options: Im2colOptions,
): { attributes: ColumnAttributes; columns: readonly [rows: number, count: number] } {
  checkOptions(operator, options, ['stride', 'padding', 'dilation']);
  checkNotEmpty(operator, 'the image', x, 1);
  const kernel = perAxis(operator, 'kernelSize', kernelSize, 2, 1);
  const axes = windowAxes(operator, x.slice(2), kernel, options);
  checkElements(operator, 'the padded input', [...x.slice(0, 2), ...axes.map((a) => a.size + a.before + a.after)]);
  checkFits(operator, axes);
  const [p, q] = axes.map(outputSize) as [number, number];
  const [r, s] = kernel as [number, number];
  checkElements(operator, 'the column matrix', [...x.slice(0, 2), r, s, p, q]);
  const attributes = {
    kernelSize: kernel,
    stride: axes.map((axis) => axis.stride),
    padding: axes.flatMap((axis) => [axis.before, axis.after]),
    dilation: axes.map((axis) => axis.dilation),
  };
  return { attributes, columns: [(x[1] as number) * r * s, p * q] };
}

/**
 * Writes each window of `x` as a column: columns[n, (c·R + r)·S + s, p·Q + q] = x[n, c, p·sh + r·dh − top, q·sw + s·dw − left],
 * 0 in the padding. A convolution is then a matrix product: weight [K, C·R·S] · columns. Source: PyTorch `torch.nn.functional.unfold`.
 * @param x           [N, C, H, W], float32 or float64
 * @param kernelSize  R = S, or [R, S]
 * @param options     stride = 1, padding = 0, dilation = 1
 * @returns           [N, C·R·S, P·Q]
 * @throws FoveaError ERR_SHAPE (rank, a window larger than the padded input), ERR_OPTION, ERR_DTYPE, ERR_DATA, ERR_MEMORY
 */
export function im2col(x: Tensor, kernelSize: number | readonly [number, number], options?: Im2colOptions): Tensor;
export function im2col(x: Value, kernelSize: number | readonly [number, number], options?: Im2colOptions): Value;
export function im2col(x: Value, kernelSize: number | readonly [number, number], options: Im2colOptions = {}): Value {
  const value = operand('im2col', 'x', x);
  sameFloats('im2col', { x: value });
  rankOf('im2col', 'x', value, 'N, C, H, W');
  return apply1(im2colOperator, [value], columnGeometry('im2col', value.shape, kernelSize, options).attributes);
}
