import { checkOptions, real } from '../geometry/options.js';
import { dropout } from '../ops/dropout.js';
import { Traced, type Value } from '../ops/operator.js';
import { checkSeed, type Tensor } from '../tensor.js';
import { layerRandom } from './init.js';
import { Module } from './module.js';

/** Zeroes elements with probability p while training and scales the others by 1 / (1 − p) (Srivastava et al. 2014). */
export class Dropout extends Module {
  private seed: number;
  private readonly fixed: boolean;
  private calls = 0;

  /**
   * @param p             probability of a zero, in [0, 1]
   * @param options.seed  fixes the masks; a program draws a new one at each step from (seed, step)
   * @throws FoveaError ERR_OPTION
   */
  constructor(
    readonly p = 0.5,
    options: { readonly seed?: number } = {},
  ) {
    super();
    checkOptions('Dropout', options, ['seed']);
    real('Dropout', 'p', p, 0, 1);
    this.seed = options.seed === undefined ? layerRandom('Dropout').bits() : checkSeed('Dropout', options.seed);
    this.fixed = options.seed !== undefined;
  }

  /** Takes a seed from whoever trains the model, unless it was given one of its own. */
  reseed(seed: number): void {
    if (!this.fixed) this.seed = seed;
  }

  forward(x: Tensor): Tensor;
  forward(x: Value): Value;
  forward(x: Value): Value {
    // Traced once and run often: the step count of the program varies the mask. Eager calls vary the seed instead.
    const seed = x instanceof Traced ? this.seed : this.seed + this.calls++;
    return dropout(x, { p: this.p, seed, training: this.training });
  }

  override describe(): string {
    return `Dropout(${this.p})`;
  }
}
