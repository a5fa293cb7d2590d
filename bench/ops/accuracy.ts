import type { Precision } from '../../lib/index.js';
import type { TypedArray } from '../../lib/tensor.js';
import { type ConvolutionShape, outputSize } from '../shapes/convolutions.js';
import type { Pass } from './conv2d.js';

/** ‖got − expected‖ / ‖expected‖: what the contract of each precision bounds (docs/performance.md). */
export function relativeError(got: TypedArray, expected: TypedArray): number {
  if (got.length !== expected.length) return Number.POSITIVE_INFINITY;
  let difference = 0;
  let whole = 0;
  for (let i = 0; i < expected.length; i++) {
    const value = expected[i] as number;
    difference += ((got[i] as number) - value) ** 2;
    whole += value ** 2;
  }
  return Math.sqrt(difference / whole);
}

/** The most that `relativeError` may be for sums of so many products of normally distributed values. */
export function errorBound(precision: Precision, products: number): number {
  switch (precision) {
    case 'highest':
      return 5e-7 * Math.sqrt(products / 1000 + 1);
    case 'high':
      return 1e-5;
    case 'medium':
      return 5e-3;
    default:
      throw new Error(`no bound for ${precision satisfies never}`);
  }
}

/** Products in the sum of one element of the result, over so many images. */
export function productsOf(layer: ConvolutionShape, pass: Pass, images: number): number {
  const { channels, filters, groups, kernel } = layer;
  const [p, q] = outputSize(layer);
  const sums: Record<Pass, number> = {
    forward: (channels / groups) * kernel ** 2,
    gradInput: (filters / groups) * kernel ** 2,
    gradWeight: images * p * q,
  };
  return sums[pass];
}
