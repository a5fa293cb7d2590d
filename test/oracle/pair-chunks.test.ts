import { describe, expect, test } from 'vitest';
import { findNative, type NativeBackend } from '../../lib/backend/native.js';
import { operators } from '../../lib/ops/table.js';
import { multipliesBf16 } from '../helpers/level.js';
import { runGuarded } from '../helpers/run.js';
import { type Case, sums } from './cases/case.js';
import { callOf, expectedOf, firstDifference } from './compare.js';

// Weight gradients of bfloat16 pairs with so many channels that chunks of pixels become smaller than their panels would
// allow (kPairChunkBytes, native/ops/conv_grad_stream.cc): some images at a time, or some rows. Small integers, so that
// every sum is exact.

const name = 'conv2dGradWeight';
const cases = [
  { x: [9, 256, 14, 14], filters: 32, cut: 'images 2' },
  { x: [1, 256, 40, 40], filters: 32, cut: 'rows 10' },
];

const { backend } = findNative();
const hasBf16 = multipliesBf16(backend?.info.isa);

describe.skipIf(!hasBf16)('weight gradients of many channels in bfloat16 (skipped without kernels for it)', () => {
  for (const { x, filters, cut } of cases) {
    for (const rounded of [false, true]) {
      test(`${x.join('×')} → ${filters}${rounded ? ', bfloat16 in memory' : ''}`, () => {
        check(backend as NativeBackend, x, filters, cut, rounded);
      });
    }
  }
});

function check(native: NativeBackend, x: readonly number[], filters: number, cut: string, rounded: boolean): void {
  const operator = operators.find((one) => one.name === name);
  if (!operator) throw new Error(`no operator ${name}`);
  const [n = 0, , h = 0, w = 0] = x;
  const window = { stride: [1, 1], padding: [0, 0, 0, 0], dilation: [1, 1], kernelSize: [1, 1] };
  const one: Case = {
    name: `${x}`,
    attributes: { ...window, groups: 1, paddingMode: 'zeros', flipKernel: false, withBias: true },
    inputs: (make) => [make.float(x), make.float([n, filters, h, w])],
    agreement: sums,
  };
  const call = callOf(operator, one, 'integers');
  const named = { ...call, attributes: { ...call.attributes, algorithm: 'bf16' } };
  const result = runGuarded(native, named, { threads: 2, layout: 'blocked', precision: 'medium', rounded });
  const where = result.describe.join('; ');
  if (native.info.isa === 'avx512bf16') expect(where).toContain(cut); // tiles of AMX take chunks of other sizes
  expect(firstDifference(result.outputs, expectedOf(operator, one, 'integers')), where).toBeUndefined();
  expect(result.damage, where).toEqual([]);
}
