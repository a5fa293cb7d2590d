import { FoveaError } from '../errors.js';
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
  readonly kernelSize: readonly number[];
  readonly groups: number;
}

/** What the convolution layers of every rank share: the tensors and how they start. */
abstract class Conv extends Module {
  /** [outChannels, inChannels / groups, ...kernelSize] */
  readonly weight: Tensor;
  /** [outChannels], absent with `bias: false` */
  readonly bias: Tensor | undefined;

  constructor(
    private readonly sizes: Sizes,
    layer: LayerOptions,
    private readonly shown: object,
  ) {
    super();
    const { inChannels, outChannels, kernelSize, groups } = sizes;
    const name = this.constructor.name;
    for (const [what, n] of Object.entries({ inChannels, outChannels, groups })) checkCount(name, what, n);
    for (const n of kernelSize) checkCount(name, 'kernelSize', n);
    if (inChannels % groups !== 0 || outChannels % groups !== 0) {
      const detail = `groups ${groups} must divide the ${inChannels} input and the ${outChannels} output channels`;
      throw new FoveaError('ERR_OPTION', name, detail);
    }
    const shape = [outChannels, inChannels / groups, ...kernelSize];
    const random = layerRandom(layer.seed);
    const bound = defaultBound(sizeOf(shape.slice(1)));
    this.weight = this.parameter('weight', uniform(shape, bound, random));
    this.bias = (layer.bias ?? true) ? this.parameter('bias', uniform([outChannels], bound, random)) : undefined;
  }

  override describe(): string {
    const { inChannels, outChannels, kernelSize } = this.sizes;
    const options = Object.entries(this.shown).map(([key, value]) => `, ${key} ${JSON.stringify(value)}`);
    const bias = this.bias ? '' : ', no bias';
    return `${this.constructor.name}(${inChannels} → ${outChannels}, ${kernelSize.join('×')}${options.join('')}${bias})`;
  }
}

/** Convolution over [N, C, L]; options as `ops.conv1d`. Initialised as torch.nn.Conv1d. */
export class Conv1d extends Conv {
  private readonly options: Conv1dOptions;

  /** @throws FoveaError ERR_OPTION for sizes that are not whole and positive, or groups that do not divide */
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: number | readonly [number],
    { bias, seed, ...options }: Conv1dOptions & LayerOptions = {},
  ) {
    const kernel = typeof kernelSize === 'number' ? [kernelSize] : kernelSize;
    super(
      { inChannels, outChannels, kernelSize: kernel, groups: options.groups ?? 1 },
      layerOptions(bias, seed),
      options,
    );
    this.options = options;
  }

  /** [N, inChannels, L] → [N, outChannels, M] */
  forward(x: Value): Value {
    return conv1d(x, this.weight, this.bias, this.options);
  }
}

/** Convolution over [N, C, H, W]; options as `ops.conv2d`. Initialised as torch.nn.Conv2d. */
export class Conv2d extends Conv {
  private readonly options: Conv2dOptions;

  /** @throws FoveaError ERR_OPTION for sizes that are not whole and positive, or groups that do not divide */
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: number | readonly [number, number],
    { bias, seed, ...options }: Conv2dOptions & LayerOptions = {},
  ) {
    const kernel = typeof kernelSize === 'number' ? [kernelSize, kernelSize] : kernelSize;
    super(
      { inChannels, outChannels, kernelSize: kernel, groups: options.groups ?? 1 },
      layerOptions(bias, seed),
      options,
    );
    this.options = options;
  }

  /** [N, inChannels, H, W] → [N, outChannels, P, Q] */
  forward(x: Value): Value {
    return conv2d(x, this.weight, this.bias, this.options);
  }
}

function layerOptions(bias: boolean | undefined, seed: number | undefined): LayerOptions {
  return { ...(bias === undefined ? {} : { bias }), ...(seed === undefined ? {} : { seed }) };
}
