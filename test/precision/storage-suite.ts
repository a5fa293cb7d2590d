import { describe, expect, test } from 'vitest';
import { findNative, type NativeBackend } from '../../lib/backend/native.js';
import type { Operator } from '../../lib/ops/operator.js';
import { operators } from '../../lib/ops/table.js';
import { Tensor } from '../../lib/tensor.js';
import { lacks, multipliesBf16, storesRounded } from '../helpers/level.js';
import { type Call, runReference } from '../helpers/reference.js';
import { type RunResult, runGuarded, sameBits } from '../helpers/run.js';
import { type Case, cases } from '../oracle/cases/index.js';
import { callOf } from '../oracle/compare.js';
import { emulated, operationsOf, threadCounts } from './bf16-suite.js';
import { expectSameKinds, finite, map, relativeError } from './contract.js';

const ungrouped = ['bf16', 'brgemm', 'winograd', 'winograd int16'];
const algorithms = [...ungrouped, ...ungrouped.map((name) => `${name} merged`), 'depthwise', 'repeated', 'narrow'];

/**
 * Every operator that takes bfloat16 in memory, over its grid in test/oracle/cases, each operand that may lie so lying so.
 * On the level of FOVEA_CPU, or at most `cap`; where it has no such operator, what needs one is skipped.
 */
export function storageSuite(cap?: 'avx2' | 'avx512'): void {
  process.env.FOVEA_PLAN = 'fixed';
  if (cap) process.env.FOVEA_CPU = cap;
  const { backend } = findNative();
  const { detected } = backend?.info ?? {};
  const reason = cap && detected && (lacks(detected, cap) ?? (detected === cap ? 'storage.test.ts runs there' : ''));
  if (reason) {
    test.skip(`under FOVEA_CPU=${cap} (skipped: ${reason})`, () => {});
    return;
  }

  describe('operators with bfloat16 in memory', () => {
    test('are there on the levels that have kernels for it, and nowhere else', () => {
      expect((backend?.storage.size ?? 0) > 0).toBe(storesRounded(backend?.info.isa));
    });
    if (!backend) return;
    for (const operator of operators.filter(({ name }) => backend.storage.has(name))) {
      describe(operator.name, () => {
        for (const row of cases[operator.name] ?? []) {
          if (!takesRounded(operator, row) || (emulated && operationsOf(operator, row) > 2e6)) continue;
          test(row.name, () => checkCase(backend, operator, row));
        }
      });
    }
  });

  test.runIf(backend && backend.storage.size > 0)('rounds to nearest even, NaN of every kind to NaN', () => {
    const shape = [2, 32, 24, 24];
    const words = new Uint32Array(2 * 32 * 24 * 24).map((_, i) => Math.imul(i, 0x9e3779b1));
    words.set([0x7f800001, 0x7fffffff, 0xff800001, 0xffffffff, 0x7f7fffff, 0xff7f8000, 0x3f808000, 0x3f818000]);
    const x = new Tensor(shape, new Float32Array(words.buffer));
    const call = {
      operator: 'mul',
      inputs: [x, Tensor.full(shape, 1)],
      outputs: [{ shape, dtype: 'float32' as const }],
    };
    const [actual] = runGuarded(
      backend as NativeBackend,
      { ...call, attributes: {} },
      { threads: 2, ...options },
    ).outputs;
    const data = x.data as Float32Array;
    const wrong = [...data].filter((value, i) => {
      const denormal = Math.abs(value) < 2 ** -126; // counts as zero where there are instructions for bfloat16
      return !denormal && !Object.is(actual?.data[i], toBfloat16(value));
    });
    expect(wrong).toEqual([]);
  });

  describe('±∞ and NaN in memory as bfloat16', () => {
    if (!backend || backend.storage.size === 0 || emulated) {
      test.skip('needs a CPU, or a level, with kernels for it', () => {});
      return;
    }
    const pairs = multipliesBf16(backend.info.isa);
    const [x, weight, dy] = [
      [2, 32, 24, 24],
      [48, 32, 3, 3],
      [2, 48, 24, 24],
    ].map((shape, i) => Tensor.randn(shape, { seed: i + 1 })) as [Tensor, Tensor, Tensor];
    const like = ({ shape }: Tensor) => ({ shape, dtype: 'float32' }) as const;
    const pooled = { shape: [2, 32, 12, 12], dtype: 'float32' } as const;
    const pool = { kernelSize: [2, 2], stride: [2, 2], padding: [0, 0, 0, 0], dilation: [1, 1] };
    const conv = {
      ...{
        stride: [1, 1],
        padding: [1, 1, 1, 1],
        dilation: [1, 1],
        groups: 1,
        paddingMode: 'zeros',
        flipKernel: false,
      },
      ...{ activation: 'none', inputShape: x.shape, kernelSize: [3, 3] },
    };
    const calls: readonly Call[] = [
      { operator: 'conv2d', inputs: [x, weight], outputs: [like(dy)], attributes: conv },
      { operator: 'conv2dGradInput', inputs: [dy, weight], outputs: [like(x)], attributes: conv },
      { operator: 'conv2dGradWeight', inputs: [x, dy], outputs: [like(weight)], attributes: conv },
      { operator: 'relu', inputs: [x], outputs: [like(x)], attributes: {} },
      { operator: 'maxPool2d', inputs: [x], outputs: [pooled, { ...pooled, dtype: 'uint8' }], attributes: pool },
    ];
    const grouped = { ...conv, groups: 32 };
    const filters = new Tensor([32, 1, 3, 3], (weight.data as Float32Array).slice(0, 288));
    const depthwise: readonly Call[] = [
      { operator: 'conv2d', inputs: [x, filters], outputs: [like(x)], attributes: grouped },
      { operator: 'conv2dGradInput', inputs: [x, filters], outputs: [like(x)], attributes: grouped },
      { operator: 'conv2dGradWeight', inputs: [x, x], outputs: [like(filters)], attributes: grouped },
    ];
    for (const { operator, inputs, outputs, attributes } of [...calls, ...depthwise]) {
      const direct = operator.startsWith('conv2d') ? ungrouped.filter((name) => name !== 'bf16' || pairs) : [''];
      const named = attributes === grouped ? ['depthwise'] : direct;
      test.each(named)(`${operator} %s`, (algorithm) => {
        const specials = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN];
        const marked = map(inputs[0] as Tensor, (value, i) => specials[(i - 5000) / 4000] ?? value);
        const call = { operator, inputs: [marked, ...inputs.slice(1)], outputs, attributes };
        const [expected] = runReference(call);
        const forced = algorithm ? { ...call, attributes: { ...attributes, algorithm } } : call;
        const [actual] = runGuarded(backend, forced, { threads: 2, ...options }).outputs;
        expectSameKinds(actual as Tensor, expected as Tensor);
        expect(relativeError(finite(actual as Tensor), finite(expected as Tensor))).toBeLessThan(5e-3);
      });
    }
  });
}

function takesRounded(operator: Operator, row: Case): boolean {
  const { paddingMode = 'zeros' } = row.attributes;
  return paddingMode === 'zeros' && callOf(operator, row, 'ones').inputs[0]?.shape.length === 4;
}

function checkCase(native: NativeBackend, operator: Operator, row: Case): void {
  const named = operator.name.startsWith('conv2d') ? algorithms : [undefined];
  for (const numbers of ['integers', 'reals'] as const) {
    const call = roundedCall(native, operator, row, numbers);
    const expected = runReference(call);
    for (const algorithm of named) {
      const run = (threads: number) => {
        const attributes = algorithm === undefined ? call.attributes : { ...call.attributes, algorithm };
        return runGuarded(native, { ...call, attributes }, { threads, ...options });
      };
      const results = ifThereIs(() => threadCounts.reals.map(run));
      if (!results) continue;
      const where = `${numbers}, ${results[0]?.describe.join('; ')}`;
      for (const { outputs, damage } of results) {
        expect(damage, where).toEqual([]);
        outputs.forEach((tensor, i) => {
          const first = results[0]?.outputs[i];
          if (tensor && first) expect(sameBits(tensor.data, first.data), `other bits: ${where}`).toBe(true);
        });
      }
      results[0]?.outputs.forEach((tensor, i) => {
        if (tensor?.dtype === 'float32') expectClose(tensor, expected[i] as Tensor, `output ${i}, ${where}`, i);
      });
    }
  }
}

const options = { layout: 'blocked', precision: 'medium', rounded: true } as const;

/** Undefined for an algorithm that the shape does not have. */
function ifThereIs(run: () => RunResult[]): RunResult[] | undefined {
  try {
    return run();
  } catch (error) {
    if (error instanceof Error && error.message.includes('no algorithm')) return undefined;
    throw error;
  }
}

/** The case's call, with operands that may lie as bfloat16 rounded to it: so the reference reads what native reads. */
function roundedCall(native: NativeBackend, operator: Operator, row: Case, numbers: 'integers' | 'reals'): Call {
  const call = callOf(operator, row, numbers);
  const letters = native.storage.get(operator.name)?.inputs ?? '-';
  const inputs = call.inputs.map((tensor, i) => {
    const letter = letters[Math.min(i, letters.length - 1)];
    return tensor && letter !== '-' && tensor.dtype === 'float32'
      ? new Tensor(tensor.shape, (tensor.data as Float32Array).map(toBfloat16))
      : tensor;
  });
  return { ...call, inputs };
}

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** The nearest value of 8 significant bits, ties to even. */
function toBfloat16(value: number): number {
  if (Number.isNaN(value)) return value;
  float[0] = value;
  const [word = 0] = bits;
  bits[0] = (word + 0x7fff + ((word >>> 16) & 1)) & 0xffff0000;
  return float[0];
}

/** The contract of 'medium': 5e-3 in the 2-norm. */
function expectClose(actual: Tensor, expected: Tensor, where: string, output: number): void {
  let error = 0;
  let norm = 0;
  expected.data.forEach((value: number, i: number) => {
    const found = actual.data[i] as number;
    if (!Object.is(found, value)) error += (found - value) ** 2;
    norm += value ** 2;
  });
  expect(Math.sqrt(error / (norm || 1)), where).toBeLessThanOrEqual(
    output === 0 ? 5e-3 : 1.2 * 5e-3, // the bound is that of the result; a few sums over it are a small sample
  );
}
