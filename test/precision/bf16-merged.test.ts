import { expect, test } from 'vitest';
import { findNative } from '../../lib/backend/native.js';
import { Tensor } from '../../lib/tensor.js';
import { runReference } from '../helpers/reference.js';
import { runGuarded } from '../helpers/run.js';
import { bf16Suite, merges } from './bf16-suite.js';

// Groups whose channels fill blocks only together: native/ops/conv_merged.h.
bf16Suite('avx512bf16', {
  name: 'bf16 merged',
  operators: ['conv2d', 'conv2dGradInput', 'conv2dGradWeight'],
  precisions: ['highest', 'high', 'medium'],
  layouts: (operator, row) => (merges(operator, row) ? ['blocked'] : []),
});

test('zeros between merged groups add nothing, to ±∞ and NaN neither', ({ skip }) => {
  const { backend } = findNative();
  if (backend?.info.isa !== 'avx512bf16') return skip('needs AVX512-BF16');
  const x = Tensor.randn([2, 48, 6, 5], { seed: 1 });
  x.data[0] = Number.POSITIVE_INFINITY; // of the first of two groups
  x.data[31] = Number.NaN;
  const call = {
    operator: 'conv2d',
    inputs: [x, Tensor.randn([48, 24, 3, 3], { seed: 2 }), null],
    outputs: [{ shape: [2, 48, 6, 5], dtype: 'float32' as const }],
    attributes: {
      ...{ stride: [1, 1], padding: [1, 1, 1, 1], dilation: [1, 1], groups: 2 },
      ...{ paddingMode: 'zeros', flipKernel: false, activation: 'none' },
    },
  };
  const [expected] = runReference(call);
  const forced = { ...call, attributes: { ...call.attributes, algorithm: 'bf16 merged' } };
  const [actual] = runGuarded(backend, forced, { threads: 2, layout: 'blocked', precision: 'medium' }).outputs;
  const kinds = (tensor?: Tensor | null) => Array.from(tensor?.data ?? [], Number.isFinite);
  expect(kinds(actual)).toEqual(kinds(expected));
  expect(kinds(actual).filter((finite) => !finite).length).toBeGreaterThan(0);
});
