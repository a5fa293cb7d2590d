import { describe, expect, test } from 'vitest';
import type { Layout, Precision } from '../../lib/backend/backend.js';
import { findNative, type NativeBackend } from '../../lib/backend/native.js';
import type { Operator } from '../../lib/ops/operator.js';
import { operators } from '../../lib/ops/table.js';
import type { Tensor } from '../../lib/tensor.js';
import { Make } from '../helpers/make.js';
import { runGuarded, sameBits } from '../helpers/run.js';
import { type Case, cases } from '../oracle/cases/index.js';
import { callOf, type Expected, expectedOf, firstDifference, magnitudesOf } from '../oracle/compare.js';
import { relativeError } from './contract.js';

/** Operators that have an algorithm named 'bf16', and the layout in which it is to be had. */
const withBf16 = ['conv2d', 'conv2dGradInput', 'conv2dGradWeight', 'linear', 'linearGradWeight', 'matmul'] as const;
/** Outputs that are sums of products; the others are what an epilogue makes of them. */
const sumsOf = {
  conv2d: 1,
  conv2dGradInput: 1,
  conv2dGradWeight: 2,
  linear: 1,
  linearGradWeight: 2,
  matmul: 1,
} as const;

/**
 * How far a product of two rounded or split values may be off, relative to it: each bfloat16 plane keeps 8 bits, rounded to
 * nearest, and products of planes beyond the last are left out. Of three planes what is left is float32's own rounding.
 */
const unit: Readonly<Record<Precision, number>> = { highest: 2 ** -22, high: 2 ** -14.4, medium: 2 ** -6.9 };

/** What is asked for by name, in which precisions, and the layouts in which a case may have it. */
interface Algorithm {
  readonly name: string;
  readonly operators: readonly (keyof typeof sumsOf)[];
  readonly precisions: readonly Precision[];
  readonly layouts: (operator: Operator, row: Case) => readonly Layout[];
  /** Elements are rounded tile by tile: small integers do not come out exactly, and small sums are as far off as others. */
  readonly tiles?: true;
}
const direct: Algorithm = {
  name: 'bf16',
  operators: withBf16,
  precisions: ['highest', 'high', 'medium'],
  layouts: (operator, row) => (isStem(operator.name, row) ? ['blocked', 'plain'] : ['blocked']),
};

/**
 * The bfloat16 algorithms in each precision over the grid of the oracle: small integers are exact in bfloat16, and their
 * sums in float32, so they must come out exactly; of real numbers, each element within what the products may be off. With the same bits for 1, 2 and 3
 * threads, between guard bands. The level is that of FOVEA_CPU, which the addon reads once per process.
 */
export function bf16Suite(cap: 'avx2' | 'avx512' | 'avx512bf16' | 'amx', algorithm: Algorithm = direct): void {
  process.env.FOVEA_CPU = cap;
  const { backend, reason } = findNative();
  const problem = reason ?? (backend.info.isa === cap ? undefined : `this CPU is ${backend.info.isa}`);
  describe.skipIf(problem !== undefined)(
    `${algorithm.name} under FOVEA_CPU=${cap}${problem ? ` (skipped: ${problem})` : ''}`,
    () => {
      if (!backend || problem) {
        test(`needs a CPU with ${cap}`, () => {});
        return;
      }
      for (const name of algorithm.operators) {
        const operator = operators.find((one) => one.name === name) as Operator;
        describe(name, () => {
          for (const row of cases[name] ?? []) {
            if (emulated && operationsOf(operator, row) > emulatedMost) continue;
            for (const layout of algorithm.layouts(operator, row))
              test(`${row.name}, ${layout}`, () => checkCase(backend, operator, row, layout, algorithm));
          }
        });
      }
    },
  );
}

// Emulated tile instructions take microseconds each: small cases are left, and one number of threads, since that threads
// decide no bits does not depend on the tiles.
export const emulated = process.env.LD_PRELOAD?.includes('libamx') === true;
/** Operations of the largest case that is emulated. */
const emulatedMost = Number(process.env.EMULATED_OPERATIONS ?? 2e6);
// Integers are exact: as real numbers have the same bits for all of these, one will do for them.
export const threadCounts = { integers: [2], reals: emulated ? [2] : [1, 2, 3] } as const;

export function operationsOf(operator: Operator, row: Case): number {
  const { inputs, outputs, attributes } = callOf(operator, row, 'ones');
  return operator.cost(inputs, outputs, attributes).flops;
}

/** A few planes may be read as they are: native/ops/conv_stem.h. */
function isStem(name: string, { attributes, inputs }: Case): boolean {
  if (name !== 'conv2d' && name !== 'conv2dGradWeight') return false;
  const { groups, dilation, paddingMode } = attributes as { groups: number; dilation: number[]; paddingMode: string };
  const channels = inputs(new Make(1, 'ones'))[0]?.shape[1] as number;
  return channels <= 4 && groups === 1 && dilation[1] === 1 && paddingMode === 'zeros';
}

/** Two to four groups that fill blocks only together, by the weight's shape: native/ops/conv_merged.h. */
export function merges(operator: Operator, row: Case): boolean {
  const { inputs, outputs, attributes } = callOf(operator, row, 'ones');
  const groups = attributes.groups as number;
  const [filters = 0, each = 0] = (operator.name === 'conv2dGradWeight' ? outputs[0] : inputs[1])?.shape ?? [];
  const fills = (count: number) => (count * each) % 16 === 0 && ((count * filters) / groups) % 16 === 0;
  return groups > 1 && !fills(1) && [2, 3, 4].some((count) => groups % count === 0 && fills(count));
}

function checkCase(backend: NativeBackend, operator: Operator, row: Case, layout: Layout, algorithm: Algorithm): void {
  const sums = sumsOf[operator.name as keyof typeof sumsOf];
  for (const numbers of algorithm.tiles ? (['reals'] as const) : (['integers', 'reals'] as const)) {
    const expected = expectedOf(operator, row, numbers);
    for (const precision of algorithm.precisions) {
      const results = threadCounts[numbers].map((threads) => {
        const { attributes, ...call } = callOf(operator, row, numbers);
        const forced = { ...call, attributes: { ...attributes, algorithm: algorithm.name } };
        return runGuarded(backend, forced, { threads, layout, precision, keeps: threads === 2 });
      });
      const where = `${operator.name} ${row.name}, ${numbers}, ${precision}, ${results[0]?.describe.join('; ')}`;
      for (const { outputs, damage } of results) {
        expect(damage, where).toEqual([]);
        outputs.forEach((tensor, i) => {
          const first = results[0]?.outputs[i];
          if (tensor && first) expect(sameBits(tensor.data, first.data), `other bits: ${where}`).toBe(true);
        });
      }
      const outputs = results[0]?.outputs ?? [];
      // Masks and statistics of an epilogue follow from rounded values: of those, only the values themselves.
      const [compared, allowed] =
        numbers === 'integers'
          ? [outputs, expected]
          : [outputs.slice(0, sums), widened(operator, row, expected, unit[precision], algorithm.tiles)];
      expect(firstDifference(compared, allowed), where).toBeUndefined();
      if (!algorithm.tiles) continue;
      for (let i = sums; i < outputs.length; ++i) expectEpilogue(outputs[i], expected.outputs[i], where);
    }
  }
}

/** `expected`, with so much more tolerance as a share of the sums of absolute values: of each, or at least of their mean. */
function widened(operator: Operator, row: Case, expected: Expected, share: number, tiles = false): Expected {
  const magnitudes = magnitudesOf(operator, row);
  const tolerance = expected.tolerance.map((rounding, i) => {
    const { data } = magnitudes[i] ?? { data: [] };
    const least = tiles ? Array.from(data).reduce((sum, one) => sum + Math.abs(one), 0) / data.length : 0;
    return rounding ? rounding.map((one, j) => one + share * Math.max(least, data[j] as number)) : null;
  });
  return { ...expected, tolerance };
}

/** What an epilogue made of rounded values: sums and statistics to 5e-3 in the 2-norm, a mask but for signs of small values. */
function expectEpilogue(actual: Tensor | null | undefined, expected: Tensor | null | undefined, where: string): void {
  if (!actual || !expected) return;
  if (expected.dtype !== 'uint8') {
    expect(relativeError(actual, expected), where).toBeLessThan(0.005);
    return;
  }
  const bits = (byte: number) => byte.toString(2).replaceAll('0', '').length;
  const other = [...expected.data].reduce((sum, byte, i) => sum + bits(byte ^ (actual.data[i] as number)), 0);
  expect(other / (8 * expected.size), where).toBeLessThan(0.005);
}
