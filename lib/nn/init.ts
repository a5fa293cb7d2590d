import { FoveaError, show } from '../errors.js';
import { Random } from '../random.js';
import { checkSeed, Tensor } from '../tensor.js';

// Layers without a seed of their own draw theirs from here. Unseeded, it differs from process to process, as in PyTorch.
let stream = new Random(Math.floor(Math.random() * 2 ** 32));

/** Fixes the initialisation of all layers made from here on that have no `seed` option. */
export function manualSeed(seed: number): void {
  stream = new Random(checkSeed('manualSeed', seed));
}

/**
 * The generator for one layer: keyed by its seed, or by the next number of the common stream.
 * @throws FoveaError ERR_OPTION
 */
export function layerRandom(layer: string, seed?: number): Random {
  return new Random(seed === undefined ? stream.bits() : checkSeed(layer, seed), 1);
}

/** Values uniform in [-bound, bound). */
export function uniform(shape: readonly number[], bound: number, random: Random): Tensor {
  const value = Tensor.zeros(shape);
  for (let i = 0; i < value.data.length; i++) value.data[i] = (2 * random.uniform() - 1) * bound;
  return value;
}

/**
 * PyTorch's default for convolutions and linear layers: Kaiming uniform with a = √5 (He et al. 2015), which is
 * uniform in ±√(6 / ((1 + a²) · fanIn)) = ±1/√fanIn; biases have the same bound.
 */
export function defaultBound(fanIn: number): number {
  return fanIn > 0 ? 1 / Math.sqrt(fanIn) : 0;
}

/** @throws FoveaError ERR_OPTION unless `n` is a whole number >= 1 */
export function checkCount(layer: string, what: string, n: number): void {
  if (!Number.isSafeInteger(n) || n < 1) {
    throw new FoveaError('ERR_OPTION', layer, `${what} must be a whole number >= 1, got ${show(n)}`);
  }
}
