import { FoveaError, show } from '../errors.js';
import { formatShape } from '../tensor.js';
import { windowAxes } from './conv.js';
import { checkOptions, flag, perAxis } from './options.js';
import {
  axisName,
  checkElements,
  checkFits,
  checkNotEmpty,
  outputSize,
  type PaddingWord,
  span,
  type WindowAxis,
} from './window.js';

export interface Pool2dOptions {
  /** Pixels of the window: both axes, or [vertical, horizontal]. */
  readonly kernelSize: number | readonly [number, number];
  /** Pixels from one window to the next. Default: `kernelSize`, so that windows do not overlap. */
  readonly stride?: number | readonly [number, number] | null;
  /** Pixels on every side, [vertical, horizontal], [[top, bottom], [left, right]], 'valid' or 'same'. Default 0. */
  readonly padding?:
    | number
    | readonly [number, number]
    | readonly [readonly [top: number, bottom: number], readonly [left: number, right: number]]
    | PaddingWord;
  /** Pixels from one tap of the window to the next. Default 1. */
  readonly dilation?: number | readonly [number, number];
  /** Rounds the output size up: the last window may hang over the end. Default false. */
  readonly ceilMode?: boolean;
}

/** What the backends are told about a pooling window. */
export type PoolAttributes = Readonly<{
  kernelSize: readonly number[];
  stride: readonly number[];
  /** top, bottom, left, right */
  padding: readonly number[];
  dilation: readonly number[];
  ceilMode: boolean;
  /** [P, Q]; `ceilMode` is decided in it */
  outputSize: readonly number[];
}>;

export interface PoolGeometry {
  readonly attributes: PoolAttributes;
  readonly axes: readonly WindowAxis[];
  readonly outputShape: readonly number[];
}

/**
 * Windows of a pooling over x [N, C, H, W]. Sizes as PyTorch: P = ⌊(H + pads − d·(R − 1) − 1) / s⌋ + 1, with `ceilMode` ⌈…⌉ + 1
 * less a last window that would begin beyond the input and its leading padding.
 * @param known  names of all options of the operator
 * @throws FoveaError ERR_SHAPE, ERR_OPTION, ERR_MEMORY
 */
export function poolGeometry(
  operator: string,
  x: readonly number[],
  options: Pool2dOptions,
  known: readonly string[],
): PoolGeometry {
  checkOptions(operator, options, known);
  checkNotEmpty(operator, 'x', x, 1);
  const kernelSize = perAxis(operator, 'kernelSize', options.kernelSize, 2, 1);
  const axes = windowAxes(operator, x.slice(2), kernelSize, { ...options, stride: options.stride ?? kernelSize });
  for (const [i, axis] of axes.entries()) checkPoolPadding(operator, axis, i);
  checkElements(operator, 'the padded input', [...x.slice(0, 2), ...axes.map((a) => a.size + a.before + a.after)]);
  checkFits(operator, axes);
  const ceilMode = flag(operator, 'ceilMode', options.ceilMode ?? false);
  const size = axes.map(ceilMode ? outputSizeUp : outputSize);
  const outputShape = [...x.slice(0, 2), ...size];
  checkElements(operator, 'the output', outputShape);
  const attributes: PoolAttributes = {
    kernelSize,
    stride: axes.map((axis) => axis.stride),
    padding: axes.flatMap((axis) => [axis.before, axis.after]),
    dilation: axes.map((axis) => axis.dilation),
    ceilMode,
    outputSize: size,
  };
  return { attributes, axes, outputShape };
}

function outputSizeUp(axis: WindowAxis): number {
  const { size, before, after, kernel, dilation, stride } = axis;
  const up = Math.ceil((size + before + after - span(kernel, dilation)) / stride) + 1;
  return (up - 1) * stride >= size + before ? up - 1 : up;
}

/** PyTorch: at most half of the window may be padding, so that each window holds an input element. */
function checkPoolPadding(operator: string, axis: WindowAxis, i: number): void {
  const { size, before, after, kernel, dilation, stride } = axis;
  const half = Math.floor(span(kernel, dilation) / 2);
  const pad = Math.max(before, after);
  if (pad > half) {
    throw new FoveaError(
      'ERR_OPTION',
      operator,
      `padding may be at most half of the window: ${pad} > ${half} = ⌊${span(kernel, dilation)} / 2⌋ ${axisName(i, 2)}`,
    );
  }
  // The taps of a dilated window can still step over a small input.
  for (let start = -before; start < 0 && dilation > 1; start += stride) {
    const first = start + Math.ceil(-start / dilation) * dilation;
    if (first < size) continue;
    throw new FoveaError(
      'ERR_SHAPE',
      operator,
      `the taps of the window at ${start} step over all ${size} ${axisName(i, 2)}: dilation ${dilation}, padding ${pad}`,
    );
  }
}

/** The `outputSize` of adaptive pooling as [P, Q]; null keeps the size of the input. @throws FoveaError ERR_OPTION, ERR_SHAPE, ERR_MEMORY */
export function adaptiveSize(operator: string, x: readonly number[], outputSize: unknown): number[] {
  checkNotEmpty(operator, 'x', x, 1);
  const kept = Array.isArray(outputSize) ? outputSize.map((n, i) => n ?? x[i + 2]) : outputSize;
  if (kept === undefined || kept === null) {
    throw new FoveaError(
      'ERR_OPTION',
      operator,
      `outputSize must be a number or [P, Q], got ${show(outputSize)} (x ${formatShape(x)})`,
    );
  }
  const size = perAxis(operator, 'outputSize', kept, 2, 1);
  checkElements(operator, 'the output', [...x.slice(0, 2), ...size]);
  return size;
}
