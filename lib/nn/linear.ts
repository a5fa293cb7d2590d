import { checkOptions, flag } from '../geometry/options.js';
import { linear } from '../ops/linear.js';
import type { Value } from '../ops/operator.js';
import type { Tensor } from '../tensor.js';
import { checkCount, defaultBound, layerRandom, uniform } from './init.js';
import { Module } from './module.js';

/** y = x · Wᵀ + b over the last axis. Initialised as torch.nn.Linear. */
export class Linear extends Module {
  /** [outFeatures, inFeatures] */
  readonly weight: Tensor;
  /** [outFeatures], absent with `bias: false` */
  readonly bias: Tensor | undefined;

  /** @throws FoveaError ERR_OPTION for sizes that are not whole and positive, and options that are none */
  constructor(
    readonly inFeatures: number,
    readonly outFeatures: number,
    options: { readonly bias?: boolean; readonly seed?: number } = {},
  ) {
    super();
    checkOptions('Linear', options, ['bias', 'seed']);
    checkCount('Linear', 'inFeatures', inFeatures);
    checkCount('Linear', 'outFeatures', outFeatures);
    const random = layerRandom('Linear', options.seed);
    const bound = defaultBound(inFeatures);
    this.weight = this.parameter('weight', uniform([outFeatures, inFeatures], bound, random));
    this.bias = flag('Linear', 'bias', options.bias ?? true)
      ? this.parameter('bias', uniform([outFeatures], bound, random))
      : undefined;
  }

  /** [..., inFeatures] → [..., outFeatures] */
  forward(x: Tensor): Tensor;
  forward(x: Value): Value;
  forward(x: Value): Value {
    return linear(x, this.weight, this.bias);
  }

  override describe(): string {
    return `Linear(${this.inFeatures} → ${this.outFeatures}${this.bias ? '' : ', no bias'})`;
  }
}
