import { FoveaError } from '../errors.js';
import { formatShape } from '../tensor.js';
import { checkOptions, choice, flag, perAxis, whole } from './options.js';
import {
  axisName,
  checkElements,
  checkFits,
  checkNotEmpty,
  outputSize,
  type PaddingWord,
  resolvePadding,
  unreadWarnings,
  type WindowAxis,
} from './window.js';

export type PaddingMode = 'zeros' | 'reflect' | 'replicate' | 'circular';

interface ConvOptions {
  /** Groups of channels that do not see each other; `groups` = channels is a depthwise convolution. Default 1. */
  readonly groups?: number;
  /** What stands in the padding. Default `'zeros'`. */
  readonly paddingMode?: PaddingMode;
  /** Rotates the kernel by 180°: convolution in the sense of mathematics. Default false. */
  readonly flipKernel?: boolean;
  /** Throws when the stride leaves input elements at the end unread. Default false: they are dropped, as PyTorch does. */
  readonly strictStride?: boolean;
}

export interface Conv1dOptions extends ConvOptions {
  /** Elements from one window to the next. Default 1. */
  readonly stride?: number | readonly [number];
  /** Elements on both sides, `[[left, right]]`, or a word. Default 0. */
  readonly padding?: number | readonly [number] | readonly [readonly [left: number, right: number]] | PaddingWord;
  /** Elements from one kernel tap to the next. Default 1. */
  readonly dilation?: number | readonly [number];
}

export interface Conv2dOptions extends ConvOptions {
  /** Pixels from one window to the next: both axes, or [vertical, horizontal]. Default 1. */
  readonly stride?: number | readonly [number, number];
  /** Pixels on every side, [vertical, horizontal], [[top, bottom], [left, right]], or a word. Default 0. */
  readonly padding?:
    | number
    | readonly [number, number]
    | readonly [readonly [top: number, bottom: number], readonly [left: number, right: number]]
    | PaddingWord;
  /** Pixels from one kernel tap to the next: both axes, or [vertical, horizontal]. Default 1. */
  readonly dilation?: number | readonly [number, number];
}

/** What the backends are told about a 2-D convolution. */
export type ConvAttributes = Readonly<{
  stride: readonly number[];
  /** top, bottom, left, right */
  padding: readonly number[];
  dilation: readonly number[];
  groups: number;
  paddingMode: PaddingMode;
  flipKernel: boolean;
}>;

export interface ConvGeometry {
  /** Attributes of the 2-D convolution; a 1-D convolution is one with height 1. */
  readonly attributes: ConvAttributes;
  readonly axes: readonly WindowAxis[];
  readonly outputShape: readonly number[];
}

/** Names of the options of convolutions. */
export const convOptionNames = ['stride', 'padding', 'dilation', 'groups', 'paddingMode', 'flipKernel', 'strictStride'];

/**
 * Everything that follows from the shapes and options of a convolution over the axes after [N, C].
 * @throws FoveaError ERR_SHAPE, ERR_OPTION, ERR_MEMORY
 */
export function convGeometry(
  operator: string,
  x: readonly number[],
  weight: readonly number[],
  bias: readonly number[] | undefined,
  options: Conv1dOptions | Conv2dOptions,
): ConvGeometry {
  checkOptions(operator, options, convOptionNames);
  const rank = x.length - 2;
  checkNotEmpty(operator, 'input', x, 1);
  checkNotEmpty(operator, 'weight', weight);
  const groups = checkChannels(operator, x, weight, bias, whole(operator, 'groups', options.groups ?? 1, 1));
  const axes = windowAxes(operator, x.slice(2), weight.slice(2), options);
  const paddingMode = choice(operator, 'paddingMode', options.paddingMode ?? 'zeros', [
    'zeros',
    'reflect',
    'replicate',
    'circular',
  ]);
  checkPaddingMode(operator, axes, paddingMode);
  checkElements(operator, 'the padded input', [
    x[0] as number,
    x[1] as number,
    ...axes.map((a) => a.size + a.before + a.after),
  ]);
  checkFits(operator, axes);
  const outputShape = [x[0] as number, weight[0] as number, ...axes.map(outputSize)];
  checkElements(operator, 'the output', outputShape);
  const warnings = unreadWarnings(axes);
  if (flag(operator, 'strictStride', options.strictStride ?? false) && warnings.length > 0)
    throw new FoveaError('ERR_OPTION', operator, warnings.join('; '));
  const lead = rank === 1 ? [1] : []; // the height of a 1-D convolution
  const attributes: ConvAttributes = {
    stride: [...lead, ...axes.map((axis) => axis.stride)],
    padding: [...lead.flatMap(() => [0, 0]), ...axes.flatMap((axis) => [axis.before, axis.after])],
    dilation: [...lead, ...axes.map((axis) => axis.dilation)],
    groups,
    paddingMode,
    flipKernel: flag(operator, 'flipKernel', options.flipKernel ?? false),
  };
  return { attributes, axes, outputShape };
}

function checkChannels(
  operator: string,
  x: readonly number[],
  weight: readonly number[],
  bias: readonly number[] | undefined,
  groups: number,
): number {
  const c = x[1] as number;
  const [k, perGroup] = weight as [number, number];
  if (c % groups !== 0)
    throw new FoveaError(
      'ERR_SHAPE',
      operator,
      `${groups} groups do not divide ${c} input channels (input ${formatShape(x)})`,
    );
  if (k % groups !== 0)
    throw new FoveaError(
      'ERR_SHAPE',
      operator,
      `${groups} groups do not divide ${k} output channels (weight ${formatShape(weight)})`,
    );
  if (perGroup * groups !== c) {
    const expects = groups === 1 ? `${perGroup}` : `${groups} · ${perGroup} = ${groups * perGroup}`;
    throw new FoveaError(
      'ERR_SHAPE',
      operator,
      `weight expects ${expects} input channels, input has ${c} (input ${formatShape(x)}, weight ${formatShape(weight)}, groups ${groups})`,
    );
  }
  if (bias && (bias.length !== 1 || bias[0] !== k)) {
    throw new FoveaError(
      'ERR_SHAPE',
      operator,
      `bias must be [${k}], one per output channel of weight ${formatShape(weight)}, got ${formatShape(bias)}`,
    );
  }
  return groups;
}

/** The axes of a convolution or an im2col window, padding resolved. @throws FoveaError ERR_OPTION */
export function windowAxes(
  operator: string,
  sizes: readonly number[],
  kernel: readonly number[],
  options: { readonly stride?: unknown; readonly padding?: unknown; readonly dilation?: unknown },
): WindowAxis[] {
  const stride = perAxis(operator, 'stride', options.stride ?? 1, sizes.length, 1);
  const dilation = perAxis(operator, 'dilation', options.dilation ?? 1, sizes.length, 1);
  const axes = sizes.map((size, i) => ({
    size,
    kernel: kernel[i] as number,
    stride: stride[i] as number,
    dilation: dilation[i] as number,
  }));
  const padding = resolvePadding(operator, options.padding ?? 0, axes);
  return axes.map((axis, i) => {
    const [before, after] = padding[i] as [number, number];
    return { ...axis, before, after };
  });
}

/** PyTorch's limits: a reflection needs pad < size, a circular repetition pad <= size. */
function checkPaddingMode(operator: string, axes: readonly WindowAxis[], mode: PaddingMode): void {
  if (mode === 'zeros' || mode === 'replicate') return;
  axes.forEach(({ size, before, after }, i) => {
    const pad = Math.max(before, after);
    const most = mode === 'reflect' ? size - 1 : size;
    if (pad <= most) return;
    const name = axisName(i, axes.length);
    throw new FoveaError(
      'ERR_SHAPE',
      operator,
      `${mode} padding of ${pad} needs more than the ${size} ${name} of the input: at most ${most}`,
    );
  });
}

/** [N, K, P, Q] from attributes that were validated before. */
export function convOutputShape(x: readonly number[], weight: readonly number[], attributes: ConvAttributes): number[] {
  return [x[0] as number, weight[0] as number, ...windowOutput(x, weight.slice(2), attributes)];
}

/** [P, Q] of a window over [N, C, H, W] from attributes that were validated before. */
export function windowOutput(
  x: readonly number[],
  kernel: readonly number[],
  attributes: Pick<ConvAttributes, 'stride' | 'padding' | 'dilation'>,
): number[] {
  return axesOf(x, kernel, attributes).map(outputSize);
}

/** The two axes that a validated 2-D window has: for `unreadWarnings` and receptive fields in `explain`. */
export function axesOf(
  x: readonly number[],
  kernel: readonly number[],
  attributes: Pick<ConvAttributes, 'stride' | 'padding' | 'dilation'>,
): WindowAxis[] {
  return [0, 1].map((i) => ({
    size: x[i + 2] as number,
    kernel: kernel[i] as number,
    stride: attributes.stride[i] as number,
    dilation: attributes.dilation[i] as number,
    before: attributes.padding[2 * i] as number,
    after: attributes.padding[2 * i + 1] as number,
  }));
}
