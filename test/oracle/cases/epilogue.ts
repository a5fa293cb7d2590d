import type { Attributes } from '../../../lib/backend/backend.js';
import { maskSpec } from '../../../lib/ops/internal/mask.js';
import { sizeOf, type Tensor } from '../../../lib/tensor.js';
import type { Make } from '../../helpers/make.js';
import { type Agreement, type Case, type Cases, largest } from './case.js';

// Convolutions with what lib/graph/fold.ts and lib/graph/epilogue.ts fuse into them. One of each algorithm, and of those
// around it that cannot do it on the way.

interface Fused {
  readonly name: string;
  readonly x: readonly [n: number, c: number, h: number, w: number];
  readonly k: number;
  readonly kernel?: number;
  readonly stride?: number;
  readonly padding?: number;
  readonly groups?: number;
  readonly mode?: 'zeros' | 'reflect';
  readonly bias?: boolean;
}

const fused: readonly Fused[] = [
  { name: 'winograd, shared filters', x: [4, 32, 20, 20], k: 32, padding: 1, bias: true },
  { name: 'winograd, cut tiles', x: [3, 33, 18, 23], k: 40, padding: 1 },
  { name: 'winograd, shared input', x: [2, 64, 8, 8], k: 160, padding: 1 },
  { name: 'winograd, stride 2', x: [5, 32, 31, 34], k: 48, stride: 2, padding: 1 },
  { name: 'winograd, stride 2, tiles from row -1', x: [5, 48, 29, 30], k: 32, stride: 2, padding: 2 },
  { name: 'brgemm, bands', x: [2, 24, 40, 33], k: 20, kernel: 5, padding: 2 },
  { name: 'brgemm, groups of images', x: [7, 16, 5, 6], k: 17, padding: 1, bias: true },
  { name: 'brgemm, images abreast', x: [23, 20, 4, 5], k: 17, kernel: 5, padding: 2, bias: true },
  { name: 'brgemm, stride 2', x: [2, 18, 11, 14], k: 33, stride: 2, padding: 1 },
  { name: '1x1, stride 2: rows that nothing reads', x: [2, 32, 9, 10], k: 16, kernel: 1, stride: 2 },
  { name: '1x1, strips of pixels', x: [2, 24, 9, 11], k: 24, kernel: 1, bias: true },
  { name: '1x1 of more pixels than fill L2', x: [1, 2320, 12, 11], k: 17, kernel: 1 },
  { name: 'stem, planar', x: [2, 3, 17, 18], k: 16, kernel: 7, stride: 2, padding: 3 },
  { name: 'groups in whole blocks', x: [2, 32, 6, 7], k: 32, groups: 2, padding: 1 },
  { name: 'groups merged in twos', x: [3, 48, 6, 7], k: 48, groups: 2, padding: 1 },
  { name: 'groups that are moved', x: [2, 12, 6, 6], k: 18, groups: 3, padding: 1 },
  { name: 'depthwise', x: [3, 20, 7, 8], k: 20, groups: 20, padding: 1 },
  { name: 'padding folded back', x: [2, 16, 6, 7], k: 20, padding: 1, mode: 'reflect' },
  { name: 'nothing but padding', x: [1, 4, 3, 3], k: 6, kernel: 1, stride: 4, padding: 2 },
];

const side = ({ kernel = 3 }: Fused) => kernel;
const weightShape = (conv: Fused) => [conv.k, conv.x[1] / (conv.groups ?? 1), side(conv), side(conv)];

function outputShape(conv: Fused): number[] {
  const { x, k, stride = 1, padding = 0 } = conv;
  const size = (n: number) => Math.floor((n + 2 * padding - side(conv)) / stride) + 1;
  return [x[0], k, size(x[2]), size(x[3])];
}

function attributesOf({ stride = 1, padding = 0, groups = 1, mode = 'zeros' }: Fused): Attributes {
  return {
    stride: [stride, stride],
    padding: [padding, padding, padding, padding],
    dilation: [1, 1],
    groups,
    paddingMode: mode,
    flipKernel: false,
  };
}

/** The size of a sum of so many products, the roundings of which add up like the root of their number. */
const productScale = (terms: number, a: Tensor | null | undefined, b: Tensor | null | undefined): number =>
  Math.sqrt(terms) * largest(a) * largest(b);

/** y is a sum of products; mean and variance are means of y and of y². */
const forward: Agreement = {
  kind: 'near',
  ulps: 24,
  scale: ([x, weight, bias, add], [y]) => {
    const terms = (weight?.size ?? 0) / (weight?.shape[0] ?? 1);
    const scale = productScale(terms, x, weight) + largest(bias) + largest(add);
    return [scale, scale, scale * (scale + largest(y))];
  },
};

/** dx likewise; the sums are over all pixels of a channel. */
const backward: Agreement = {
  kind: 'near',
  ulps: 24,
  scale: ([dy, weight, add, , x, mean], [dx]) => {
    const terms = (weight?.size ?? 0) / (weight?.shape[1] ?? 1);
    const scale = productScale(terms, dy, weight) + largest(add);
    const pixels = sizeOf(dx?.shape ?? []) / (dx?.shape[1] ?? 1);
    return [scale, Math.sqrt(pixels) * scale * (1 + largest(x) + largest(mean))];
  },
};

function rows(
  agreement: Agreement,
  variants: Readonly<Record<string, (conv: Fused) => Pick<Case, 'attributes' | 'inputs'>>>,
): Case[] {
  return fused.flatMap((conv) =>
    Object.entries(variants).map(([variant, make]) => ({
      name: `${conv.name}, with ${variant}`,
      agreement,
      oracleOnly: true,
      ...make(conv),
    })),
  );
}

function gradientInputs(conv: Fused, make: Make, with_: { add?: boolean; mask?: boolean; sums?: boolean }) {
  const { shape, dtype } = maskSpec({ shape: conv.x, dtype: 'float32' });
  return [
    make.float(outputShape(conv)),
    make.float(weightShape(conv)),
    with_.add ? make.float(conv.x) : null,
    with_.mask ? make.whole(shape, 0, 256, dtype) : null,
    with_.sums ? make.float(conv.x) : null,
    with_.sums ? make.float([conv.x[1]]) : null,
  ];
}

const gradient = (with_: { add?: boolean; mask?: boolean; sums?: boolean }) => (conv: Fused) => ({
  attributes: { ...attributesOf(conv), inputShape: conv.x },
  inputs: (make: Make) => gradientInputs(conv, make, with_),
});

const convolution = (attributes: Attributes, bias: (conv: Fused, make: Make) => Tensor | null) => (conv: Fused) => ({
  attributes: { ...attributesOf(conv), ...attributes },
  inputs: (make: Make) => [make.float(conv.x), make.float(weightShape(conv)), bias(conv, make)],
});

const withResidual = (activation: 'none' | 'relu') => (conv: Fused) => ({
  attributes: { ...attributesOf(conv), activation },
  inputs: (make: Make) => [
    make.float(conv.x),
    make.float(weightShape(conv)),
    biasIfAny(conv, make),
    make.float(outputShape(conv)),
  ],
});

const biasIfAny = (conv: Fused, make: Make) => (conv.bias ? make.float([conv.k]) : null);

/** Keeps sums of integers away from 0, whose side rounding would decide. */
function halves(conv: Fused, make: Make): Tensor {
  const bias = make.float([conv.k]);
  bias.data.forEach((value: number, i: number) => {
    bias.data[i] = value + 0.5;
  });
  return bias;
}

export const epilogueCases: Cases = {
  conv2d: rows(forward, {
    statistics: convolution({ activation: 'none', withStatistics: true }, biasIfAny),
    mask: convolution({ activation: 'relu', withMask: true }, halves),
    'a residual': withResidual('none'),
    'a residual and a ReLU': withResidual('relu'),
  }),
  conv2dGradInput: rows(backward, {
    add: gradient({ add: true }),
    mask: gradient({ mask: true }),
    sums: gradient({ sums: true }),
    everything: gradient({ add: true, mask: true, sums: true }),
  }),
};
