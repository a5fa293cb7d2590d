import { describe, expect, test } from 'vitest';
import { findNative } from '../../lib/backend/native.js';
import { Tensor } from '../../lib/tensor.js';
import { runReference } from '../helpers/reference.js';
import { runGuarded } from '../helpers/run.js';
import { bf16Suite, merges } from './bf16-suite.js';

/** Groups whose channels fill blocks only together (native/ops/conv_merged.h), by one of the algorithms that merge them. */
export function mergedSuite(
  cap: 'avx2' | 'avx512' | 'avx512bf16' | 'amx',
  algorithm: 'bf16 merged' | 'brgemm merged',
): void {
  const inBf16 = algorithm === 'bf16 merged';
  bf16Suite(cap, {
    name: algorithm,
    operators: ['conv2d', 'conv2dGradInput', 'conv2dGradWeight'],
    precisions: inBf16 ? ['highest', 'high', 'medium'] : ['highest'],
    layouts: (operator, row) => (merges(operator, row) ? ['blocked'] : []),
  });

  const { backend, reason } = findNative();
  const problem = reason ?? (backend.info.isa === cap ? '' : `this CPU is ${backend.info.isa}`);
  const title = 'zeros between merged groups add nothing, to ±∞ and NaN neither';
  describe.skipIf(problem !== '')(`${title}${problem ? ` (skipped: ${problem})` : ''}`, () => {
    test('two groups of 24', () => check(24, false));
    test('groups of 8', () => check(8, false));
    if (inBf16) test('groups of 8 that lie rounded in memory', () => check(8, true));
    if (inBf16) test('two groups of 24 that do, and are moved then', () => check(24, true));
  });

  function check(each: number, rounded: boolean): void {
    const x = Tensor.randn([2, 48, 6, 5], { seed: 1 });
    x.data[0] = Number.POSITIVE_INFINITY; // of the first group
    x.data[31] = Number.NaN;
    const call = {
      operator: 'conv2d',
      inputs: [x, Tensor.randn([48, each, 3, 3], { seed: 2 }), null],
      outputs: [{ shape: [2, 48, 6, 5], dtype: 'float32' as const }],
      attributes: {
        ...{ stride: [1, 1], padding: [1, 1, 1, 1], dilation: [1, 1], groups: 48 / each },
        ...{ paddingMode: 'zeros', flipKernel: false, activation: 'none' },
      },
    };
    const [expected] = runReference(call);
    const forced = { ...call, attributes: { ...call.attributes, algorithm } };
    if (!backend) throw new Error('no native backend');
    const options = { threads: 2, layout: 'blocked', precision: inBf16 ? 'medium' : 'highest', rounded } as const;
    const [actual] = runGuarded(backend, forced, options).outputs;
    let infinite = 0;
    expected?.data.forEach((value, i) => {
      const got = actual?.data[i] as number;
      if (!Number.isFinite(value)) ++infinite;
      if (Number.isFinite(value)) expect(Math.abs(got - value)).toBeLessThan(0.2);
      else expect(got).toBe(value);
    });
    expect(infinite).toBeGreaterThan(0);
  }
}
