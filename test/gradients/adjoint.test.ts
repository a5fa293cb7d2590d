import { describe, expect, test } from 'vitest';
import type { Attributes, Backend, Spec } from '../../lib/backend/backend.js';
import { findNative } from '../../lib/backend/native.js';
import { referenceBackend } from '../../lib/backend/reference/index.js';
import { Tensor } from '../../lib/tensor.js';
import { Make, seedOf } from '../helpers/make.js';
import { runGuarded } from '../helpers/run.js';
import { type Case, cases } from '../oracle/cases/index.js';

// The gradient of a linear map A is its transpose: ⟨A·x, dy⟩ = ⟨x, Aᵀ·dy⟩. It needs no oracle, so it is checked at sizes
// where none can run. Operands are small integers: every product and sum is exact in float32 (|sum| < 2²⁴) and the inner
// products are in float64, so that both sides are equal to the last bit.

const { backend: native, reason } = findNative();
const backends: readonly Backend[] = native && !native.info.problem ? [referenceBackend, native] : [referenceBackend];

if (reason) test.skip(`on native (skipped: ${reason})`);

function run(
  backend: Backend,
  operator: string,
  inputs: (Tensor | null)[],
  outputs: (Spec | null)[],
  attributes: Attributes,
) {
  const result = runGuarded(backend, { operator, inputs, outputs, attributes }, { threads: 2, layout: 'blocked' });
  expect(result.damage).toEqual([]);
  return result.outputs as Tensor[];
}

function dot(a: Tensor, b: Tensor): number {
  let sum = 0;
  for (let i = 0; i < a.size; i++) sum += (a.data[i] as number) * (b.data[i] as number);
  return sum;
}

const float = (shape: readonly number[]): Spec => ({ shape, dtype: 'float32' });

interface Conv {
  readonly name: string;
  readonly attributes: Attributes;
  readonly x: readonly number[];
  readonly weight: readonly number[];
  readonly y: readonly number[];
  /** Relative error of the algorithm in the 2-norm; absent: exact on small integers. */
  readonly error?: number;
}

/** The convolutions of the oracle's grid, by way of conv2dGradWeight: its operands are x and dy. */
function convOf(row: Case): Conv {
  const [x, dy] = row.inputs(new Make(0, 'ones')) as [Tensor, Tensor];
  const { kernelSize, withBias: _, ...attributes } = row.attributes;
  const weight = [
    dy.shape[1] as number,
    (x.shape[1] as number) / (attributes.groups as number),
    ...(kernelSize as number[]),
  ];
  return { name: row.name, attributes, x: x.shape, weight, y: dy.shape };
}

const same3x3 = {
  stride: [1, 1],
  padding: [1, 1, 1, 1],
  dilation: [1, 1],
  groups: 1,
  paddingMode: 'zeros',
  flipKernel: false,
};

/** Layers of real networks, for native only: the reference would take minutes. */
const networks: readonly Conv[] = [
  // Computed by Winograd's algorithm, whose fractions round: within the contract of native/kernels/winograd/winograd.h.
  {
    name: 'ResNet 3x3',
    attributes: same3x3,
    x: [8, 64, 56, 56],
    weight: [64, 64, 3, 3],
    y: [8, 64, 56, 56],
    error: 6.3e-7,
  },
  {
    name: 'VGG 5x5 in place of two 3x3',
    attributes: { ...same3x3, padding: [2, 2, 2, 2] },
    x: [4, 64, 28, 28],
    weight: [96, 64, 5, 5],
    y: [4, 96, 28, 28],
    error: 8.1e-7,
  },
  {
    name: 'Inception 1x7',
    attributes: { ...same3x3, padding: [0, 0, 3, 3] },
    x: [4, 128, 17, 17],
    weight: [160, 128, 1, 7],
    y: [4, 160, 17, 17],
  },
  {
    name: 'ResNet stem',
    attributes: { ...same3x3, stride: [2, 2], padding: [3, 3, 3, 3] },
    x: [4, 3, 224, 224],
    weight: [64, 3, 7, 7],
    y: [4, 64, 112, 112],
  },
  {
    name: 'ResNet 1x1 stride 2',
    attributes: { ...same3x3, stride: [2, 2], padding: [0, 0, 0, 0] },
    x: [8, 256, 28, 28],
    weight: [512, 256, 1, 1],
    y: [8, 512, 14, 14],
  },
  {
    name: 'MobileNet depthwise',
    attributes: { ...same3x3, groups: 144 },
    x: [4, 144, 56, 56],
    weight: [144, 1, 3, 3],
    y: [4, 144, 56, 56],
  },
  {
    name: 'ResNeXt groups of 4',
    attributes: { ...same3x3, groups: 32 },
    x: [4, 128, 28, 28],
    weight: [128, 4, 3, 3],
    y: [4, 128, 28, 28],
  },
  {
    name: 'ResNeXt groups',
    attributes: { ...same3x3, groups: 32, paddingMode: 'reflect' },
    x: [2, 128, 28, 28],
    weight: [128, 4, 3, 3],
    y: [2, 128, 28, 28],
  },
];

const norm = (a: Tensor): number => Math.sqrt(dot(a, a));

function checkConv(backend: Backend, { name, attributes, x, weight, y, error = 0 }: Conv): void {
  const make = new Make(seedOf(`adjoint ${name}`), 'integers');
  const [tx, tw, tdy] = [make.float(x), make.float(weight), make.float(y)];
  const [ty] = run(backend, 'conv2d', [tx, tw, null], [float(y)], { ...attributes, activation: 'none' });
  const [dx] = run(backend, 'conv2dGradInput', [tdy, tw], [float(x)], { ...attributes, inputShape: x });
  const gradWeight = { ...attributes, kernelSize: weight.slice(2), withBias: true };
  const [dw, db] = run(
    backend,
    'conv2dGradWeight',
    [tx, tdy],
    [float(weight), float([weight[0] as number])],
    gradWeight,
  );
  const expected = dot(ty as Tensor, tdy);
  // |⟨a + δ, b⟩ − ⟨a, b⟩| <= ‖δ‖·‖b‖, for the forward pass and for the gradient: 0 where both are exact
  const slack = error * (norm(ty as Tensor) * norm(tdy) + norm(tx) * norm(dx as Tensor));
  const difference = (a: Tensor, b: Tensor) => Math.abs(dot(a, b) - expected);
  expect(difference(tx, dx as Tensor), '⟨conv(x), dy⟩ = ⟨x, gradInput(dy)⟩').toBeLessThanOrEqual(slack);
  expect(difference(tw, dw as Tensor), '⟨conv(x), dy⟩ = ⟨w, gradWeight(x, dy)⟩').toBeLessThanOrEqual(slack);
  expect(dot(Tensor.ones(db?.shape ?? []), db as Tensor), 'Σ gradBias = Σ dy').toBe(dot(Tensor.ones(y), tdy));
}

for (const backend of backends) {
  describe(`convolution on ${backend.name}`, () => {
    for (const row of cases.conv2dGradWeight ?? []) test(row.name, () => checkConv(backend, convOf(row)));
    if (backend.name === 'native') for (const conv of networks) test(conv.name, () => checkConv(backend, conv));
  });

  // Each of these picks or moves elements, so integers stay exact.
  for (const [forward, transpose] of [
    ['im2col', 'col2im'],
    ['maxPool2d', 'maxPool2dBackward'],
  ] as const) {
    describe(`${forward} on ${backend.name}`, () => {
      const rows = cases[forward] ?? [];
      rows.forEach((row, i) => {
        test(row.name, () => {
          const make = new Make(seedOf(`adjoint ${row.name}`), 'integers');
          const [x] = row.inputs(make) as [Tensor];
          const back = (cases[transpose] ?? [])[i] as Case;
          const [dy] = back.inputs(make) as [Tensor];
          const index: Spec = { shape: dy.shape, dtype: x.shape[2] === 20 ? 'int32' : 'uint8' };
          const pool = forward === 'maxPool2d';
          const [y, indices] = run(
            backend,
            forward,
            [x],
            pool ? [float(dy.shape), index] : [float(dy.shape)],
            row.attributes,
          );
          const operands = pool ? [dy, indices as Tensor] : [dy];
          const [dx] = run(backend, transpose, operands, [float(x.shape)], back.attributes);
          expect(dot(x, dx as Tensor)).toBe(dot(y as Tensor, dy));
        });
      });
    });
  }

  describe(`linear on ${backend.name}`, () => {
    for (const [n, i, o] of [
      [1, 1, 1],
      [5, 33, 17],
      [64, 784, 300],
    ] as const) {
      test(`[${n}, ${i}] to ${o}`, () => {
        const make = new Make(seedOf(`adjoint linear ${n} ${i} ${o}`), 'integers');
        const [x, w, dy] = [make.float([n, i]), make.float([o, i]), make.float([n, o])];
        const [y] = run(backend, 'linear', [x, w, null], [float([n, o])], { activation: 'none' });
        const [dx] = run(backend, 'matmul', [dy, w], [float([n, i])], { transposeA: false, transposeB: false });
        const [dw] = run(backend, 'linearGradWeight', [x, dy], [float([o, i]), null], { withBias: false });
        expect(dot(x, dx as Tensor)).toBe(dot(y as Tensor, dy));
        expect(dot(w, dw as Tensor)).toBe(dot(y as Tensor, dy));
      });
    }
  });
}
