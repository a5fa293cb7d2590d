import { FoveaError } from '../errors.js';
import { checkOptions, flag, real } from '../geometry/options.js';
import { batchNorm } from '../ops/batch-norm.js';
import type { Value } from '../ops/operator.js';
import { formatShape, Tensor } from '../tensor.js';
import { checkCount } from './init.js';
import { Module } from './module.js';

export interface BatchNormOptions {
  /** Added to the variance before the root. Default 1e-5. */
  readonly eps?: number;
  /** Share of the new batch in the running statistics. Default 0.1. */
  readonly momentum?: number;
  /** Learned scale and shift per channel. Default true. */
  readonly affine?: boolean;
}

/** Normalises each channel over batch and space (Ioffe and Szegedy 2015), as torch.nn.BatchNorm1d/2d. */
abstract class BatchNorm extends Module {
  /** [features], absent with `affine: false`; starts at 1 */
  readonly weight: Tensor | undefined;
  /** [features], absent with `affine: false`; starts at 0 */
  readonly bias: Tensor | undefined;
  readonly runningMean: Tensor;
  readonly runningVar: Tensor;
  /** Training steps seen, for PyTorch's state; nothing is computed from it. */
  readonly batchesTracked: Tensor;
  protected abstract readonly ranks: readonly number[];
  private readonly options: { readonly eps: number; readonly momentum: number };

  /** @throws FoveaError ERR_OPTION */
  constructor(
    readonly features: number,
    options: BatchNormOptions = {},
  ) {
    super();
    const name = this.constructor.name;
    checkCount(name, 'features', features);
    checkOptions(name, options, ['eps', 'momentum', 'affine']);
    this.options = {
      eps: real(name, 'eps', options.eps ?? 1e-5, 0, Number.POSITIVE_INFINITY),
      momentum: real(name, 'momentum', options.momentum ?? 0.1, 0, 1),
    };
    if (flag(name, 'affine', options.affine ?? true)) {
      this.weight = this.parameter('weight', Tensor.ones([features]));
      this.bias = this.parameter('bias', Tensor.zeros([features]));
    }
    this.runningMean = this.buffer('running_mean', Tensor.zeros([features]));
    this.runningVar = this.buffer('running_var', Tensor.ones([features]));
    this.batchesTracked = this.buffer('num_batches_tracked', Tensor.zeros([], 'int32'));
  }

  forward(x: Tensor): Tensor;
  forward(x: Value): Value;
  forward(x: Value): Value {
    if (!this.ranks.includes(x.shape.length)) {
      const detail = `input must have ${this.ranks.join(' or ')} axes, got ${formatShape(x.shape)}`;
      throw new FoveaError('ERR_SHAPE', this.constructor.name, detail);
    }
    const { runningMean, runningVar, training } = this;
    return batchNorm(x, this.weight, this.bias, { ...this.options, runningMean, runningVar, training });
  }

  override describe(): string {
    return `${this.constructor.name}(${this.features})`;
  }
}

/** Over [N, C] or [N, C, L]. */
export class BatchNorm1d extends BatchNorm {
  protected readonly ranks = [2, 3];
}

/** Over [N, C, H, W]. */
export class BatchNorm2d extends BatchNorm {
  protected readonly ranks = [4];
}
