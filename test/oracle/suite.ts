import { describe, expect, test } from 'vitest';
import type { Layout } from '../../lib/backend/backend.js';
import { findNative, type NativeBackend } from '../../lib/backend/native.js';
import type { Operator } from '../../lib/ops/operator.js';
import { operators } from '../../lib/ops/table.js';
import { lacks } from '../helpers/level.js';
import { seedOf } from '../helpers/make.js';
import { runGuarded, sameBits } from '../helpers/run.js';
import { type Case, cases } from './cases/index.js';
import { largeDepthwise, largeProduct, largeWholeRows } from './cases/large.js';
import { callOf, expectedOf, firstDifference } from './compare.js';

// Integers are exact: as real numbers have the same bits for all of these, one will do for them.
const threadCounts = { integers: [2], reals: [1, 2, 3] } as const;

/**
 * Every operator of lib/ops/table.ts, over its grid in cases/: native against reference, between guard bands, with the
 * same bits for 1, 2 and 3 threads. The level is that of FOVEA_CPU, which the addon reads once, so every level has its own
 * test file and with that its own process.
 */
export function oracleSuite(cap: 'baseline' | 'avx2' | 'avx512'): void {
  process.env.FOVEA_CPU = cap;
  const { backend, reason } = findNative();
  const problem = reason ?? backend.info.problem ?? lacks(backend.info.detected, cap);
  describe.skipIf(problem !== undefined)(
    `native is reference under FOVEA_CPU=${cap}${problem ? ` (skipped: ${problem})` : ''}`,
    () => {
      if (!backend || problem) {
        test('needs the native backend');
        return;
      }
      test('the cap is obeyed', () => {
        expect(backend.info.isa).toBe(cap);
      });
      for (const operator of operators) {
        describe(operator.name, () => {
          for (const row of cases[operator.name] ?? []) test(row.name, () => checkCase(backend, operator, row, cap));
        });
      }
      const convolution = operators.find(({ name }) => name === 'conv2d') as Operator;
      for (const row of [largeProduct, largeDepthwise, largeWholeRows]) {
        test(row.name, () => checkLarge(backend, convolution, row));
      }
    },
  );
}

function checkCase(backend: NativeBackend, operator: Operator, row: Case, cap: string): void {
  expect(backend.layouts.has(operator.name), `native has no operator ${operator.name}`).toBe(true);
  for (const numbers of ['integers', 'reals'] as const) {
    const expected = expectedOf(operator, row, numbers);
    for (const layout of layoutsOf(backend, operator, row)) {
      let first: ReturnType<typeof runGuarded> | undefined;
      for (const threads of threadCounts[numbers]) {
        const result = runGuarded(backend, callOf(operator, row, numbers), {
          threads,
          layout,
          keeps: numbers === 'reals' && threads === 3,
        });
        const seed = seedOf(`${operator.name} ${row.name}`);
        const where =
          `\n  ${operator.name} ${row.name}, ${numbers}, ${layout}, ${threads} threads, seed ${seed}, ${result.describe.join('; ')}` +
          `\n  rerun: npm test -- test/oracle/${cap}.test.ts -t '${asPattern(`${operator.name} ${row.name}`)}'\n `;
        const difference = firstDifference(result.outputs, expected);
        if (difference) expect.fail(`${difference}${where}`);
        if (result.damage.length > 0) expect.fail(`${result.damage.join(', ')}${where}`);
        first ??= result;
        result.outputs.forEach((tensor, i) => {
          const other = first?.outputs[i];
          if (tensor && other && !sameBits(tensor.data, other.data)) {
            expect.fail(`output ${i}: other bits than with one thread${where}`);
          }
        });
      }
    }
  }
}

/** In the layout of a program, where lines of memory are whole. */
function checkLarge(backend: NativeBackend, operator: Operator, row: Case): void {
  const { outputs, damage } = runGuarded(backend, callOf(operator, row, 'integers'), { threads: 2, layout: 'blocked' });
  expect(firstDifference(outputs, expectedOf(operator, row, 'integers'))).toBeUndefined();
  expect(damage).toEqual([]);
}

/** Vitest takes the name of a test as a regular expression. */
function asPattern(name: string): string {
  return name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

/** Both layouts where an operand may be either, else just one run. */
function layoutsOf(backend: NativeBackend, operator: Operator, row: Case): Layout[] {
  const letters = backend.layouts.get(operator.name);
  const either = /[XE]/.test(`${letters?.inputs}${letters?.outputs}`);
  const call = callOf(operator, row, 'ones');
  return either && [...call.inputs, ...call.outputs].some((spec) => spec?.shape.length === 4)
    ? ['plain', 'blocked']
    : ['plain'];
}
