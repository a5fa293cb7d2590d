import type { Attributes } from '../../../lib/backend/backend.js';
import { Random } from '../../../lib/random.js';
import { type Case, type Cases, same, sums } from './case.js';

interface Conv {
  readonly x: readonly [n: number, c: number, h: number, w: number];
  readonly k: number;
  readonly kernel: readonly [r: number, s: number];
  readonly stride?: readonly [number, number];
  readonly padding?: readonly [top: number, bottom: number, left: number, right: number];
  readonly dilation?: readonly [number, number];
  readonly groups?: number;
  readonly mode?: 'zeros' | 'reflect' | 'replicate' | 'circular';
  readonly flip?: boolean;
  readonly bias?: boolean;
  readonly relu?: boolean;
}

type Pair = readonly [number, number];
type Four = readonly [number, number, number, number];

const modes = ['zeros', 'reflect', 'replicate', 'circular'] as const;

/** Shapes that stand at an edge of something: one lane more or less than a block, one pixel, a kernel as large as the input. */
const edges: readonly Conv[] = [
  { x: [1, 1, 1, 1], k: 1, kernel: [1, 1] },
  { x: [2, 3, 5, 4], k: 2, kernel: [1, 1], bias: true },
  { x: [1, 16, 7, 7], k: 16, kernel: [1, 1], stride: [2, 2] },
  { x: [3, 15, 6, 6], k: 17, kernel: [3, 3], padding: [1, 1, 1, 1], bias: true },
  { x: [2, 17, 6, 5], k: 15, kernel: [3, 3], padding: [1, 1, 1, 1], relu: true },
  { x: [1, 33, 5, 5], k: 31, kernel: [3, 3], bias: true, relu: true },
  { x: [1, 32, 3, 40], k: 48, kernel: [3, 3], padding: [1, 1, 1, 1] },
  { x: [2, 3, 17, 19], k: 20, kernel: [7, 7], stride: [2, 2], padding: [3, 3, 3, 3], bias: true },
  { x: [2, 1, 14, 14], k: 6, kernel: [5, 5], padding: [2, 2, 2, 2], bias: true, relu: true },
  { x: [1, 4, 9, 9], k: 5, kernel: [9, 9] },
  { x: [1, 2, 1, 12], k: 3, kernel: [1, 5], padding: [0, 0, 2, 2] },
  { x: [1, 2, 12, 1], k: 3, kernel: [4, 1], stride: [3, 1] },
  { x: [1, 3, 5, 5], k: 4, kernel: [3, 3], padding: [2, 2, 2, 2] },
  { x: [1, 2, 6, 6], k: 2, kernel: [2, 2], stride: [3, 3] },
  { x: [1, 2, 4, 4], k: 2, kernel: [3, 3], padding: [4, 3, 5, 0] },
  { x: [1, 5, 11, 8], k: 3, kernel: [3, 2], stride: [2, 1], padding: [0, 2, 1, 0], dilation: [3, 2] },
  { x: [2, 20, 6, 6], k: 20, kernel: [3, 3], padding: [1, 1, 1, 1], groups: 20, bias: true },
  { x: [1, 5, 7, 6], k: 10, kernel: [3, 3], stride: [2, 2], padding: [1, 1, 1, 1], groups: 5 },
  { x: [1, 32, 5, 5], k: 32, kernel: [3, 3], padding: [1, 1, 1, 1], groups: 2, bias: true, relu: true },
  { x: [1, 8, 5, 5], k: 12, kernel: [3, 3], groups: 4 },
  { x: [1, 36, 4, 4], k: 18, kernel: [1, 1], groups: 2 },
  { x: [2, 3, 5, 5], k: 4, kernel: [3, 2], flip: true, bias: true },
  { x: [1, 6, 6, 6], k: 6, kernel: [3, 3], groups: 3, padding: [1, 0, 2, 1], stride: [2, 1], flip: true },
  { x: [1, 16, 5, 5], k: 16, kernel: [3, 3], padding: [2, 1, 1, 2], mode: 'circular', flip: true },
  { x: [1, 2, 3, 3], k: 2, kernel: [3, 3], padding: [5, 4, 6, 7], mode: 'replicate' },
  { x: [1, 3, 3, 4], k: 4, kernel: [5, 5], padding: [2, 2, 3, 3], mode: 'reflect' },
  { x: [2, 20, 7, 9], k: 20, kernel: [3, 3], padding: [1, 1, 1, 1], groups: 5, bias: true, relu: true },
  { x: [1, 24, 9, 8], k: 24, kernel: [3, 3], stride: [2, 2], padding: [1, 1, 1, 1], groups: 3 },
  { x: [2, 18, 6, 17], k: 18, kernel: [2, 5], padding: [1, 0, 2, 2], dilation: [2, 1], groups: 9, flip: true },
  { x: [1, 8, 6, 7], k: 8, kernel: [3, 3], padding: [1, 1, 1, 1], groups: 2, mode: 'circular', bias: true },
  { x: [1, 20, 4, 4], k: 20, kernel: [5, 5], padding: [2, 2, 2, 2], groups: 5 },
  { x: [1, 4, 5, 5], k: 4, kernel: [3, 3], padding: [4, 4, 4, 4], groups: 2, bias: true },
  { x: [1, 17, 10, 11], k: 17, kernel: [3, 3], stride: [3, 3], padding: [0, 1, 2, 1], groups: 17 },
  { x: [3, 18, 21, 20], k: 18, kernel: [5, 5], stride: [2, 2], padding: [2, 2, 2, 2], groups: 18, bias: true },
  { x: [2, 16, 9, 9], k: 16, kernel: [3, 3], padding: [3, 3, 3, 3], dilation: [3, 3], groups: 16 }, // packed
  { x: [2, 20, 9, 23], k: 20, kernel: [7, 7], padding: [3, 3, 3, 3], groups: 20, bias: true }, // runs of 4 to 7 taps
  { x: [1, 17, 4, 29], k: 17, kernel: [2, 9], stride: [1, 2], padding: [0, 1, 4, 4], groups: 17, relu: true },
  { x: [2, 3, 9, 11], k: 18, kernel: [3, 3], padding: [1, 1, 1, 1] },
  { x: [1, 1, 12, 7], k: 5, kernel: [5, 3], padding: [2, 1, 0, 1], dilation: [1, 2], flip: true },
  { x: [1, 8, 11, 9], k: 16, kernel: [2, 2], stride: [3, 3], padding: [0, 0, 1, 1] },
  { x: [3, 6, 19, 14], k: 12, kernel: [5, 5], bias: true }, // taps side by side
  { x: [2, 6, 12, 13], k: 16, kernel: [3, 4], stride: [2, 3], dilation: [2, 1], flip: true },
  { x: [1, 7, 11, 20], k: 10, kernel: [3, 7], stride: [1, 2] },
  { x: [2, 6, 9, 8], k: 12, kernel: [5, 5] },
  { x: [1, 3, 13, 17], k: 18, kernel: [3, 3], stride: [2, 3], dilation: [1, 2] }, // planes in place
  {
    x: [2, 3, 13, 17],
    k: 18,
    kernel: [3, 3],
    stride: [2, 3],
    padding: [1, 2, 3, 2],
    dilation: [1, 2],
    mode: 'reflect',
  },
  { x: [2, 48, 9, 8], k: 48, kernel: [3, 3], stride: [2, 2], padding: [1, 1, 1, 1], groups: 2, bias: true },
  { x: [1, 48, 5, 6], k: 96, kernel: [3, 2], padding: [1, 1, 0, 1], groups: 4, mode: 'reflect' },
  // Several filters for each channel, of blocks that hold parts of others, up to nine blocks of one; then of two, four
  // and eight channels.
  { x: [2, 20, 6, 7], k: 60, kernel: [3, 3], padding: [1, 1, 1, 1], groups: 20, bias: true, relu: true },
  { x: [1, 34, 7, 8], k: 68, kernel: [3, 2], padding: [1, 1, 1, 0], groups: 34, mode: 'reflect' },
  { x: [2, 17, 9, 8], k: 85, kernel: [3, 3], stride: [2, 2], dilation: [1, 2], groups: 17, bias: true, flip: true },
  { x: [1, 9, 5, 6], k: 144, kernel: [2, 3], groups: 9 },
  { x: [2, 26, 6, 7], k: 52, kernel: [3, 3], padding: [1, 1, 1, 1], groups: 13, bias: true, relu: true },
  { x: [1, 20, 8, 9], k: 60, kernel: [3, 3], stride: [2, 2], padding: [1, 1, 1, 1], groups: 5, flip: true },
  { x: [2, 24, 5, 6], k: 48, kernel: [2, 2], groups: 3, bias: true },
  { x: [1, 2325, 12, 11], k: 18, kernel: [1, 1], bias: true, relu: true }, // pixels in place that fill more than L2
  { x: [1, 18, 12, 11], k: 2320, kernel: [1, 1] }, // the same in its input gradient
];

/** Every pair of two hyperparameters' values occurs many times in a sample this large of their product. */
function grid(count: number): Conv[] {
  const random = new Random(2024);
  const pick = <T>(list: readonly T[]): T => list[random.integer(list.length)] as T;
  return Array.from({ length: count }, () => {
    const [c, k, groups] = pick<readonly [number, number, number]>([
      [3, 4, 1],
      [16, 16, 1],
      [18, 20, 2],
      [6, 6, 6],
      [32, 19, 1],
    ]);
    return {
      x: [1 + random.integer(2), c, 9 + random.integer(3), 9 + random.integer(4)],
      k,
      kernel: pick<Pair>([
        [1, 1],
        [3, 3],
        [2, 5],
        [5, 3],
      ]),
      stride: pick<Pair>([
        [1, 1],
        [2, 2],
        [3, 2],
      ]),
      padding: pick<Four>([
        [0, 0, 0, 0],
        [1, 1, 1, 1],
        [2, 0, 1, 3],
      ]),
      dilation: pick<Pair>([
        [1, 1],
        [1, 1],
        [2, 1],
      ]),
      groups,
      mode: pick(modes),
      flip: random.integer(4) === 0,
      bias: random.integer(2) === 0,
      relu: random.integer(3) === 0,
    } satisfies Conv;
  });
}

/** Large enough for several tiles, blocks and threads; too slow for finite differences. */
const larger: readonly Conv[] = [
  { x: [5, 6, 36, 38], k: 16, kernel: [5, 5], bias: true }, // taps side by side, in bands
  { x: [2, 64, 12, 12], k: 48, kernel: [3, 3], padding: [1, 1, 1, 1], bias: true, relu: true },
  { x: [2, 40, 28, 28], k: 24, kernel: [3, 3], stride: [2, 2], padding: [1, 1, 1, 1] },
  { x: [2, 64, 30, 33], k: 64, kernel: [3, 3], padding: [1, 1, 1, 1], groups: 16, bias: true },
  { x: [3, 40, 33, 30], k: 40, kernel: [5, 5], stride: [2, 2], padding: [2, 2, 2, 2], groups: 5, relu: true },
  { x: [2, 48, 40, 31], k: 48, kernel: [3, 3], padding: [1, 1, 1, 1], groups: 48, bias: true },
  { x: [2, 3, 61, 50], k: 64, kernel: [7, 7], stride: [2, 2], padding: [3, 3, 3, 3] },
  { x: [2, 3, 40, 45], k: 16, kernel: [3, 3], padding: [1, 1, 1, 1] }, // planes whose rows are longer than a vector
  { x: [3, 1, 35, 67], k: 20, kernel: [5, 5], stride: [2, 2], padding: [2, 2, 2, 2] },
  { x: [2, 2, 6, 20], k: 18, kernel: [2, 21], padding: [1, 0, 20, 20], bias: true }, // margins longer than one
  { x: [1, 5, 70, 67], k: 40, kernel: [11, 11], stride: [4, 4], padding: [2, 2, 2, 2] },
  { x: [1, 7, 9, 160], k: 300, kernel: [3, 3], padding: [1, 1, 1, 1] },
  { x: [2, 96, 7, 7], k: 200, kernel: [1, 1], bias: true },
  { x: [1, 33, 11, 27], k: 40, kernel: [5, 5], padding: [2, 2, 2, 2], bias: true }, // too small for Winograd: exact
  { x: [3, 24, 21, 36], k: 36, kernel: [3, 3], stride: [2, 2], padding: [1, 1, 1, 1] },
  { x: [1, 32, 3, 40], k: 24, kernel: [3, 3], padding: [4, 4, 4, 4], dilation: [4, 4] }, // most taps meet padding only
  // Small maps, of which tiles take the same pixel of several images.
  { x: [37, 24, 4, 5], k: 40, kernel: [5, 5], padding: [2, 2, 2, 2], bias: true },
  { x: [19, 40, 5, 5], k: 33, kernel: [5, 5], bias: true, relu: true },
  { x: [33, 17, 6, 7], k: 36, kernel: [5, 3], stride: [2, 1], padding: [2, 1, 1, 2], relu: true },
  { x: [15, 96, 3, 4], k: 48, kernel: [3, 3], padding: [2, 2, 2, 2], dilation: [2, 2], groups: 3 },
  { x: [9, 160, 5, 4], k: 80, kernel: [3, 3], padding: [1, 1, 1, 1], groups: 4, bias: true }, // four groups make one
  { x: [2, 112, 7, 9], k: 112, kernel: [3, 3], stride: [2, 2], padding: [1, 1, 1, 1], groups: 4 }, // in twos, packed
  { x: [14, 272, 6, 6], k: 5, kernel: [3, 3], padding: [1, 1, 1, 1] }, // in chunks of channels
  // Depthwise, of rows that a tile takes whole, padded as far as half a filter: of every length, in bands, with a stride
  // or dilation from row to row; one is too long.
  { x: [2, 40, 7, 7], k: 40, kernel: [5, 5], padding: [2, 2, 2, 2], groups: 40, bias: true, relu: true },
  { x: [1, 24, 33, 14], k: 24, kernel: [7, 7], padding: [3, 3, 3, 3], groups: 24, bias: true },
  { x: [3, 16, 9, 8], k: 16, kernel: [3, 3], padding: [1, 1, 1, 1], groups: 16, relu: true },
  { x: [2, 48, 4, 2], k: 48, kernel: [3, 3], padding: [1, 1, 1, 1], groups: 48 },
  { x: [2, 16, 5, 3], k: 16, kernel: [7, 7], padding: [3, 3, 3, 3], groups: 16, bias: true },
  { x: [1, 16, 6, 1], k: 16, kernel: [5, 5], padding: [2, 2, 2, 2], groups: 16 },
  { x: [1, 32, 21, 13], k: 32, kernel: [3, 5], stride: [2, 1], padding: [1, 1, 2, 2], groups: 32 },
  { x: [1, 17, 19, 11], k: 17, kernel: [5, 7], padding: [4, 4, 3, 3], dilation: [2, 1], groups: 17, bias: true },
  { x: [1, 32, 3, 9], k: 32, kernel: [5, 3], padding: [0, 4, 1, 1], groups: 32 },
  { x: [2, 16, 9, 15], k: 16, kernel: [5, 5], padding: [2, 2, 2, 2], groups: 16 },
  { x: [1, 16, 4, 4], k: 16, kernel: [3, 3], padding: [1, 1, 1, 1], groups: 16 },
  { x: [1, 16, 7, 5], k: 16, kernel: [5, 5], padding: [2, 2, 2, 2], groups: 16 },
  { x: [2, 16, 6, 6], k: 16, kernel: [7, 7], padding: [3, 3, 3, 3], groups: 16 },
  { x: [1, 16, 5, 10], k: 16, kernel: [3, 3], padding: [1, 1, 1, 1], groups: 16 },
  { x: [1, 16, 8, 12], k: 16, kernel: [5, 5], padding: [2, 2, 2, 2], groups: 16, bias: true },
  { x: [3, 24, 29, 13], k: 48, kernel: [5, 5], padding: [2, 2, 2, 2], groups: 24, bias: true }, // repeated, in strips
  { x: [2, 40, 20, 21], k: 160, kernel: [3, 3], stride: [2, 2], padding: [1, 1, 1, 1], groups: 40, relu: true },
  // Of whose weight gradients a tile takes several taps at once: in place, and packed.
  { x: [9, 6, 14, 14], k: 16, kernel: [5, 5], bias: true },
  { x: [5, 3, 12, 13], k: 20, kernel: [3, 3], stride: [2, 1], dilation: [1, 2] },
];

const all: readonly Conv[] = [...edges, ...grid(48), ...larger];

function attributesOf(conv: Conv): Attributes {
  return {
    stride: conv.stride ?? [1, 1],
    padding: conv.padding ?? [0, 0, 0, 0],
    dilation: conv.dilation ?? [1, 1],
    groups: conv.groups ?? 1,
    paddingMode: conv.mode ?? 'zeros',
    flipKernel: conv.flip ?? false,
  };
}

const weightShape = (conv: Conv) => [conv.k, conv.x[1] / (conv.groups ?? 1), ...conv.kernel];

function outputShape({ x, k, kernel, stride = [1, 1], padding = [0, 0, 0, 0], dilation = [1, 1] }: Conv): number[] {
  const size = (axis: 0 | 1) => {
    const [before, after] = padding.slice(2 * axis) as [number, number];
    const padded = (x[2 + axis] as number) + before + after;
    return Math.floor((padded - (dilation[axis] * (kernel[axis] - 1) + 1)) / stride[axis]) + 1;
  };
  return [x[0], k, size(0), size(1)];
}

function nameOf(conv: Conv): string {
  const { x, k, kernel, stride, padding, dilation, groups, mode, flip, bias, relu } = conv;
  const parts = [`[${x}] to ${k}, ${kernel.join('x')}`];
  if (stride) parts.push(`stride ${stride}`);
  if (padding) parts.push(`padding ${padding}`);
  if (dilation) parts.push(`dilation ${dilation}`);
  if (groups) parts.push(`groups ${groups}`);
  if (mode) parts.push(mode);
  return [...parts, ...(flip ? ['flipped'] : []), ...(bias ? ['bias'] : []), ...(relu ? ['relu'] : [])].join(' ');
}

function casesOf(make: (conv: Conv) => Pick<Case, 'attributes' | 'inputs'>): Case[] {
  return all.map((conv) => ({
    name: nameOf(conv),
    agreement: sums,
    oracleOnly: larger.includes(conv),
    ...make(conv),
  }));
}

/** im2col knows neither groups nor padding modes. */
function windowsOf(
  make: (conv: Conv, columns: readonly number[]) => Pick<Case, 'attributes' | 'inputs' | 'agreement'>,
): Case[] {
  const windows = [...edges, ...larger].filter(({ groups = 1, mode = 'zeros' }) => groups === 1 && mode === 'zeros');
  return windows.map((conv) => {
    const [n, , p, q] = outputShape(conv) as [number, number, number, number];
    const columns = [n, conv.x[1] * conv.kernel[0] * conv.kernel[1], p * q];
    return { name: nameOf(conv), oracleOnly: larger.includes(conv), ...make(conv, columns) };
  });
}

function windowAttributes(conv: Conv): Attributes {
  const { stride, padding, dilation } = attributesOf(conv) as Record<string, readonly number[]>;
  return { kernelSize: conv.kernel, stride: stride ?? [], padding: padding ?? [], dilation: dilation ?? [] };
}

export const convCases: Cases = {
  conv2d: casesOf((conv) => ({
    attributes: { ...attributesOf(conv), activation: conv.relu ? 'relu' : 'none' },
    inputs: (make) => [make.float(conv.x), make.float(weightShape(conv)), conv.bias ? make.float([conv.k]) : null],
  })),
  conv2dGradInput: casesOf((conv) => ({
    attributes: { ...attributesOf(conv), inputShape: conv.x },
    inputs: (make) => [make.float(outputShape(conv)), make.float(weightShape(conv))],
  })),
  conv2dGradWeight: casesOf((conv) => ({
    attributes: { ...attributesOf(conv), kernelSize: conv.kernel, withBias: conv.bias ?? false },
    inputs: (make) => [make.float(conv.x), make.float(outputShape(conv))],
  })),
  im2col: windowsOf((conv) => ({
    attributes: windowAttributes(conv),
    inputs: (make) => [make.float(conv.x)],
    agreement: same,
  })),
  col2im: windowsOf((conv, columns) => ({
    attributes: { ...windowAttributes(conv), outputSize: conv.x.slice(2) },
    inputs: (make) => [make.float(columns)],
    agreement: sums,
  })),
};
