import type { Tensor } from '../../../lib/tensor.js';
import type { Make } from '../../helpers/make.js';
import { type Case, type Cases, largest, same } from './case.js';

type Shape = readonly number[];

interface Pixels {
  readonly source: Shape;
  readonly dtype: 'uint8' | 'float32';
  readonly normalized?: boolean;
}

const pixels: readonly Pixels[] = [
  { source: [3, 1, 2, 2], dtype: 'uint8' },
  { source: [5, 3, 4, 4], dtype: 'uint8', normalized: true },
  { source: [4, 3], dtype: 'float32', normalized: true },
  { source: [6, 2, 5], dtype: 'float32' },
  { source: [9, 3, 32, 31], dtype: 'uint8', normalized: true },
];

function sourceOf({ source, dtype }: Pixels, make: Make): Tensor {
  return dtype === 'uint8' ? make.whole(source, 0, 256, 'uint8') : make.float(source);
}

const statistics = ({ source, normalized }: Pixels, make: Make): (Tensor | null)[] => {
  const channels = [source[1] as number];
  return normalized ? [make.float(channels), make.positive(channels)] : [null, null];
};

/** (x·scale − mean) / std: one rounding each, of terms that may cancel. */
function near(mean: number): Case['agreement'] {
  return {
    kind: 'near',
    ulps: 4,
    scale: (inputs) => {
      const least = inputs[mean + 1] ? Math.min(...(inputs[mean + 1] as Tensor).data) : 1;
      return [(largest(inputs[0]) * scaleOf(inputs[0] as Tensor) + largest(inputs[mean])) / least];
    },
  };
}

const scaleOf = (source: { readonly dtype: string }): number => (source.dtype === 'uint8' ? 1 / 255 : 1);
const nameOf = ({ source, dtype, normalized }: Pixels): string =>
  `${dtype} [${source}]${normalized ? ' normalized' : ''}`;

export const dataCases: Cases = {
  gather: pixels.map((p) => ({
    name: nameOf(p),
    attributes: { scale: scaleOf(p) },
    inputs: (make) => [sourceOf(p, make), make.whole([7], 0, p.source[0] as number), ...statistics(p, make)],
    agreement: near(2),
  })),
  gatherLabels: [1, 5, 300].map((n) => ({
    name: `[${n}]`,
    attributes: {},
    inputs: (make) => [make.whole([20], 0, 10), make.whole([n], 0, 20)],
    agreement: same,
  })),
  normalize: pixels.map((p) => ({
    name: nameOf(p),
    attributes: { scale: scaleOf(p) },
    inputs: (make) => [sourceOf(p, make), ...statistics(p, make)],
    agreement: near(1),
  })),
};
