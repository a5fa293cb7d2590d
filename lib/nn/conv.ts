import { FoveaError } from '../errors.js';
import { convOptionNames, windowAxes } from '../geometry/conv.js';
import { checkOptions, flag, perAxis } from '../geometry/options.js';
import { type Conv1dOptions, conv1d } from '../ops/conv1d.js';
import { type Conv2dOptions, conv2d } from '../ops/conv2d.js';
import type { Value } from '../ops/operator.js';
import { sizeOf, type Tensor } from '../tensor.js';
import { checkCount, defaultBound, layerRandom, uniform } from './init.js';
import { Module } from './module.js';

interface LayerOptions {
  /** Adds one learned number per output channel. Default true. */
  readonly bias?: boolean;
  /** Fixes the initial values. */
  readonly seed?: number;
}

interface Sizes {
  readonly inChannels: number;
  readonly outChannels: number;
  /** A number for all axes, or one per axis. */
  readonly kernelSize: unknown;
  readonly axes: number;
}

type Options = Omit<Conv1dOptions | Conv2dOptions, 'strictStride'> & LayerOptions;

/** What the convolution layers of every rank share: the tensors and how they start. */
abstract class Conv extends Module {
  /** [outChannels, inChannels / groups, ...kernelSize] */
  readonly weight: Tensor;
  /** [outChannels], absent with `bias: false` */
  readonly bias: Tensor | undefined;
  private readonly text: string;

  constructor({ inChannels, outChannels, kernelSize, axes }: Sizes, given: Options) {
    super();
    const name = this.constructor.name;
    checkOptions(name, given, [...convOptionNames, 'bias', 'seed']);
    const { bias, seed, ...options } = given;
    const groups = options.groups ?? 1;
    for (const [what, n] of Object.entries({ inChannels, outChannels, groups })) checkCount(name, what, n);
    const kernel = perAxis(name, 'kernelSize', kernelSize, axes, 1);
    windowAxes(name, kernel, kernel, options); // throws what is wrong with stride, padding and dilation
    if (inChannels % groups !== 0 || outChannels % groups !== 0) {
      const detail = `groups ${groups} must divide the ${inChannels} input and the ${outChannels} output channels`;
      throw new FoveaError('ERR_OPTION', name, detail);
    }
    const shape = [outChannels, inChannels / groups, ...kernel];
    const random = layerRandom(name, seed);
    const bound = defaultBound(sizeOf(shape.slice(1)));
    this.weight = this.parameter('weight', uniform(shape, bound, random));
    const biased = flag(name, 'bias', bias ?? true);
    this.bias = biased ? this.parameter('bias', uniform([outChannels], bound, random)) : undefined;
    const shown = Object.entries(options).map(([key, value]) => `, ${key} ${JSON.stringify(value)}`);
    const end = `${shown.join('')}${biased ? '' : ', no bias'}`;
    this.text = `${name}(${inChannels} → ${outChannels}, ${kernel.join('×')}${end})`;
  }

  override describe(): string {
    return this.text;
  }
}

/** Convolution over [N, C, L]; options as `ops.conv1d`. Initialised as torch.nn.Conv1d. */
export class Conv1d extends Conv {
  private readonly options: Conv1dOptions;

  /** @throws FoveaError ERR_OPTION for sizes that are not whole and positive, groups that do not divide, unknown options */
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: number | readonly [number],
    options: Conv1dOptions & LayerOptions = {},
  ) {
    super({ inChannels, outChannels, kernelSize, axes: 1 }, options);
    this.options = withoutLayerOptions(options);
  }

  /** [N, inChannels, L] → [N, outChannels, M] */
  forward(x: Tensor): Tensor;
  forward(x: Value): Value;
  forward(x: Value): Value {
    return conv1d(x, this.weight, this.bias, this.options);
  }
}

/** Convolution over [N, C, H, W]; options as `ops.conv2d`. Initialised as torch.nn.Conv2d. */
export class Conv2d extends Conv {
  private readonly options: Conv2dOptions;

  /** @throws FoveaError ERR_OPTION for sizes that are not whole and positive, groups that do not divide, unknown options */
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: number | readonly [number, number],
    options: Conv2dOptions & LayerOptions = {},
  ) {
    super({ inChannels, outChannels, kernelSize, axes: 2 }, options);
    this.options = withoutLayerOptions(options);
  }

  /** [N, inChannels, H, W] → [N, outChannels, P, Q] */
  forward(x: Tensor): Tensor;
  forward(x: Value): Value;
  forward(x: Value): Value {
    return conv2d(x, this.weight, this.bias, this.options);
  }
}

function withoutLayerOptions<O extends LayerOptions>({
  bias: _,
  seed: __,
  ...options
}: O): Omit<O, keyof LayerOptions> {
  return options;
}
