import assert from 'node:assert/strict';
import { test } from 'vitest';
import type { Attributes, OperandLayouts } from '../../lib/backend/backend.js';
import { lower, type Program } from '../../lib/backend/lower.js';
import { leastRounded, roundedValues } from '../../lib/backend/storage.js';

const layouts: ReadonlyMap<string, OperandLayouts> = new Map([
  ['conv2d', { inputs: 'XPP', outputs: 'BP' }],
  ['maxPool2d', { inputs: 'B', outputs: 'BB' }],
  ['batchNormTrain', { inputs: 'EPPPPE', outputs: 'EP' }],
  ['relu', { inputs: 'E', outputs: 'E' }],
  ['linear', { inputs: 'PPP', outputs: 'P' }],
]);
const storage: ReadonlyMap<string, OperandLayouts> = new Map([
  ['conv2d', { inputs: 'b-', outputs: 'b-' }],
  ['batchNormTrain', { inputs: 'g----g', outputs: 'g-' }],
]);

const image = [8, 16, 16, 16];
assert.equal(
  image.reduce((a, b) => a * b),
  leastRounded,
);
const weight = [16, 16, 3, 3];
const channels = [16];

type Line = readonly [operator: string, inputs: readonly number[], outputs: readonly number[], attributes?: Attributes];

function program(
  shapes: readonly (readonly number[])[],
  externals: readonly number[],
  lines: readonly Line[],
): Program {
  return {
    values: shapes.map((shape, i) => {
      const external = externals.indexOf(i);
      return { shape, dtype: 'float32' as const, ...(external < 0 ? {} : { external }) };
    }),
    steps: lines.map(([operator, inputs, outputs, attributes = {}]) => ({ operator, inputs, outputs, attributes })),
    externals: externals.length,
  };
}

const rounded = (of: Program) => [...roundedValues(of, layouts, storage)].sort((a, b) => a - b);

// 0 input · 1 weight · 2 conv · 3 norm · 4 conv · 5 norm of 4, plus 3 · 6 result · 7 mean
const block = program(
  [image, weight, image, image, image, image, image, channels],
  [0, 1, 6],
  [
    ['conv2d', [0, 1], [2]],
    ['batchNormTrain', [2], [3, 7]],
    ['conv2d', [3, 1], [4]],
    ['batchNormTrain', [4, -1, -1, -1, -1, 3], [5, 7]],
    ['conv2d', [5, 1], [6]],
  ],
);

test('large images between steps are rounded; what the caller has, parameters and statistics are not', () => {
  assert.deepEqual(rounded(block), [2, 3, 4, 5]);
});

test('small images, and images of one pixel, are not', () => {
  const small = block.values.map((value) => (value.shape === image ? { ...value, shape: [7, 16, 16, 16] } : value));
  assert.deepEqual(rounded({ ...block, values: small }), []);
  const pixels = block.values.map((value) => (value.shape === image ? { ...value, shape: [64, 512, 1, 1] } : value));
  assert.deepEqual(rounded({ ...block, values: pixels }), []);
});

test('a step that cannot read a value keeps it float32, and with it those that its readers want alike', () => {
  const read: Line = ['relu', [2], [6]]; // the first convolution's result, which the first norm reads, too
  const steps = [...block.steps.slice(0, 4), { operator: read[0], inputs: read[1], outputs: read[2], attributes: {} }];
  assert.deepEqual(rounded({ ...block, steps }), []); // 2, then 3 with it, then 4 and 5 by way of the second norm
});

test('what a convolution reads and what it writes are free of each other', () => {
  const of = program(
    [image, weight, image, image, image],
    [0, 1, 4],
    [
      ['relu', [0], [2]],
      ['conv2d', [2, 1], [3]],
      ['conv2d', [3, 1], [4]],
    ],
  );
  assert.deepEqual(rounded(of), [3]);
});

test('convolutions with a padding that repeats pixels are float32', () => {
  const wide = block.values.map((value) => (value.shape === image ? { ...value, shape: [8, 24, 16, 16] } : value));
  const kinds: Attributes[] = [{ paddingMode: 'reflect' }, { groups: 3, paddingMode: 'reflect' }];
  for (const attributes of kinds) {
    const steps = block.steps.map((step, i) => (i === 2 ? { ...step, attributes } : step));
    assert.deepEqual(rounded({ ...block, values: wide, steps }), []);
  }
});

test('groups of 1, 2, 4 or 8 channels are read and written alike, others as they come', () => {
  const of = (channels: number, groups: number) => {
    const shape = [8, channels, 16, 16];
    const lines: Line[] = [
      ['conv2d', [0, 1], [2]],
      ['conv2d', [2, 1], [3], { groups }],
      ['conv2d', [3, 1], [4]],
    ];
    const chain = program([shape, weight, shape, shape, shape], [0, 1, 4], lines);
    const cut = program([shape, weight, shape, shape, shape], [0, 1, 4], [...lines.slice(0, 2), ['relu', [3], [4]]]);
    return [rounded(chain), rounded(cut)];
  };
  for (const each of [1, 2, 4, 8]) assert.deepEqual(of(24, 24 / each), [[2, 3], []]);
  for (const each of [16, 12, 10]) assert.deepEqual(of(2 * each, 2), [[2, 3], [2]]);
});

test('a reader that wants a value plain has it converted', () => {
  const of = program(
    [image, weight, image, [8, 4096], [8, 10], [10, 4096]],
    [0, 1, 4, 5],
    [
      ['conv2d', [0, 1], [2]],
      ['reshape', [2], [3]],
      ['linear', [3, 5], [4]],
    ],
  );
  assert.deepEqual(rounded(of), [2]);
  const { steps, values } = lower(of, layouts, 1, 'medium', storage);
  const reorder = steps.find(({ operator, inputs }) => operator === 'reorder' && inputs[0] === steps[1]?.outputs[0]);
  assert.equal(values[reorder?.inputs[0] ?? -1]?.layout, 'blocked bf16');
  assert.equal(values[reorder?.outputs[0] ?? -1]?.layout, 'plain');
});

test('in medium a program takes less memory; the other precisions are as they were', () => {
  const of = (precision: 'highest' | 'high' | 'medium') => lower(block, layouts, 1, precision, storage);
  assert.deepEqual(of('high'), { ...of('highest'), precision: 'high' });
  assert.ok(of('highest').values.every(({ layout }) => layout !== 'blocked bf16'));
  // All but the blocked copy of the caller's image.
  assert.ok(of('medium').arenaBytes < 0.8 * of('highest').arenaBytes);
});
