import { type Case, type Cases, same, sums } from './case.js';

type Shape = readonly number[];

// Rank 4 so that blocked layouts are tried, with whole and with ragged blocks; other ranks; more elements than one task.
const shapes: readonly Shape[] = [
  [1],
  [7],
  [3, 5],
  [2, 3, 4],
  [1, 1, 1, 1],
  [2, 3, 5, 4],
  [1, 16, 3, 3],
  [2, 17, 4, 5],
];
const large: Shape = [4, 40, 33, 17];

function each(make: (shape: Shape) => Pick<Case, 'attributes' | 'inputs'>, also: readonly Shape[] = []): Case[] {
  return [...shapes, large, ...also].map((shape) => ({
    name: `[${shape}]`,
    agreement: same,
    oracleOnly: shape === large,
    ...make(shape),
  }));
}

const broadcasts: readonly (readonly [Shape, Shape])[] = [
  [[3, 4], []],
  [[], [2]],
  [[3, 4], [4]],
  [
    [5, 1],
    [1, 6],
  ],
  [
    [2, 17, 4, 5],
    [17, 1, 1],
  ],
  [
    [2, 17, 4, 5],
    [1, 17, 1, 1],
  ],
  [
    [1, 3, 1, 2],
    [4, 1, 5, 1],
  ],
];

const binary: Case[] = [
  ...each((shape) => ({ attributes: {}, inputs: (make) => [make.float(shape), make.float(shape)] })),
  ...broadcasts.map(
    ([a, b]): Case => ({
      name: `[${a}] and [${b}]`,
      attributes: {},
      inputs: (make) => [make.float(a), make.float(b)],
      agreement: same,
    }),
  ),
];

const reductions: readonly (readonly [Shape, Shape])[] = [
  [[4], []],
  [[3, 4], [4]],
  [
    [3, 4],
    [3, 1],
  ],
  [
    [2, 17, 4, 5],
    [17, 1, 1],
  ],
  [
    [2, 17, 4, 5],
    [1, 17, 1, 1],
  ],
  [
    [2, 3, 4, 5],
    [2, 1, 4, 1],
  ],
  [[6, 50, 20, 11], []],
  [[1000, 33], [33]],
];

const copies = each((shape) => ({ attributes: {}, inputs: (make) => [make.float(shape)] }));
const otherTypes: Case[] = (['int32', 'uint8'] as const).map((dtype) => ({
  name: `${dtype} [2,17,4,5]`,
  attributes: {},
  inputs: (make) => [make.whole([2, 17, 4, 5], 0, 200, dtype)],
  agreement: same,
  oracleOnly: true,
}));

// p = 1 drops everything; a seed and a counter of more than 32 bits reach the high words of key and counter.
const noises = [
  { p: 0.5, seed: 1, counter: 0 },
  { p: 0.3, seed: 2 ** 40 + 7, counter: 12 },
  { p: 1, seed: 0, counter: 3 },
  { p: 0.9, seed: 99, counter: 2 ** 33 + 1 },
];

export const eltwiseCases: Cases = {
  relu: each((shape) => ({ attributes: {}, inputs: (make) => [make.float(shape)] })),
  reluBackward: each((shape) => ({ attributes: {}, inputs: (make) => [make.float(shape), make.float(shape)] })),
  add: binary,
  sub: binary,
  mul: binary,
  sumTo: reductions.map(([from, to]) => ({
    name: `[${from}] to [${to}]`,
    attributes: { shape: to },
    inputs: (make) => [make.float(from)],
    agreement: sums,
    oracleOnly: from.reduce((a, b) => a * b, 1) > 2000,
  })),
  reshape: [
    [[6], [2, 3]],
    [
      [2, 17, 3, 3],
      [2, 153],
    ],
    [[1, 1], []],
    [
      [4, 6],
      [2, 3, 2, 2],
    ],
  ].map(([from, to]) => ({
    name: `[${from}] to [${to}]`,
    attributes: { shape: to as Shape },
    inputs: (make) => [make.float(from as Shape)],
    agreement: same,
  })),
  reorder: [...copies.filter(({ name }) => name.split(',').length === 4), ...otherTypes],
  assign: [...copies, ...otherTypes],
  dropout: noises.flatMap(({ p, seed, counter }) =>
    [[1], [2, 3, 5, 4], [1, 17, 3, 3], [3, 50], [2, 20, 40, 31]].map((shape) => ({
      name: `[${shape}] p ${p} seed ${seed} run ${counter}`,
      attributes: { p, seed },
      inputs: (make) => [make.float(shape)],
      agreement: same,
      counter,
      oracleOnly: shape.length === 4 && shape[2] === 40,
    })),
  ),
};
