import { describe, expect, test } from 'vitest';
import { ops, tensor, vjp } from '../../lib/index.js';
import type { Conv1dOptions } from '../../lib/ops/conv1d.js';
import { dot, expectError, integers, onBackends } from './helpers.js';

const cases: readonly { options: Conv1dOptions; weight: readonly number[]; y: readonly number[] }[] = [
  { options: {}, weight: [3, 4, 3], y: [2, 3, 7] },
  { options: { stride: 2, padding: 1 }, weight: [3, 4, 3], y: [2, 3, 5] },
  { options: { stride: [3], padding: [[2, 0]], dilation: [2] }, weight: [3, 4, 2], y: [2, 3, 3] },
  { options: { padding: 'same', dilation: 3 }, weight: [3, 4, 2], y: [2, 3, 9] },
  { options: { padding: 'full' }, weight: [3, 4, 4], y: [2, 3, 12] },
  { options: { groups: 2, paddingMode: 'reflect', padding: 4 }, weight: [6, 2, 3], y: [2, 6, 15] },
  { options: { groups: 4, paddingMode: 'circular', padding: [9], flipKernel: true }, weight: [4, 1, 3], y: [2, 4, 25] },
  { options: { paddingMode: 'replicate', padding: 2 }, weight: [3, 4, 5], y: [2, 3, 9] },
];

onBackends(() => {
  test('slides the kernel: y[p] = Σ x[p + r]·w[r]', () => {
    const x = tensor([[[1, 2, 3, 4, 5]]]);
    const w = tensor([[[1, 10, 100]]]);
    expect(ops.conv1d(x, w, tensor([0.5])).toArray()).toEqual([[[321.5, 432.5, 543.5]]]);
    expect(ops.conv1d(x, w, null, { flipKernel: true }).toArray()).toEqual([[[123, 234, 345]]]);
  });

  for (const { options, weight, y } of cases) {
    test(`${JSON.stringify(options)}: the shape, ⟨conv(x), dy⟩ = ⟨x, gradInput⟩ = ⟨w, gradWeight⟩, and vjp agrees`, () => {
      const [x, w, b] = [integers([2, 4, 9], 1), integers(weight, 2), integers([weight[0] as number], 3)];
      const dy = integers(y, 4);
      const value = ops.conv1d(x, w, null, options);
      expect(value.shape).toEqual(y);
      const gradients = ops.conv1dBackward(dy, x, w, options);
      expect(dot(value, dy)).toBe(dot(x, gradients.gradInput));
      expect(dot(value, dy)).toBe(dot(w, gradients.gradWeight));
      expect(gradients.gradBias).toEqual(ops.sum(dy, { dims: [0, 2] }));
      const { pullback } = vjp(
        (...inputs) => ops.conv1d(inputs[0] as typeof x, inputs[1] as typeof x, inputs[2], options),
        [x, w, b],
      );
      const [gradInput, gradWeight, gradBias] = pullback(dy);
      expect({ gradInput, gradWeight, gradBias }).toEqual(gradients);
    });
  }
});

describe('refuses', () => {
  const conv = (options: object) => () =>
    ops.conv1d(integers([1, 2, 5]), integers([2, 2, 3]), null, options as Conv1dOptions);

  test('wrong ranks', () => {
    expectError(
      () => ops.conv1d(integers([2, 5]), integers([2, 2, 3])),
      'ERR_SHAPE',
      /^conv1d: x must be \[N, C, L\] \(rank 3\), got \[2, 5\]/,
    );
    expectError(
      () => ops.conv1d(integers([1, 2, 5]), integers([2, 2])),
      'ERR_SHAPE',
      /weight must be \[K, C \/ groups, R\]/,
    );
  });

  test('padding for two axes: [[left, right]] has one', () => {
    expectError(
      conv({ padding: [1, 2] }),
      'ERR_OPTION',
      /padding must be a number or 1 of them, one per axis, got \[1, 2\]/,
    );
    expectError(
      conv({
        padding: [
          [1, 2],
          [0, 0],
        ],
      }),
      'ERR_OPTION',
      /padding per side is \[\[left, right\]\], got \[\[1, 2\], \[0, 0\]\]/,
    );
  });

  test('a kernel larger than the padded input, unread columns when strict', () => {
    expectError(conv({ dilation: 3 }), 'ERR_SHAPE', /the kernel spans 7 columns/);
    expectError(
      conv({ stride: 3, strictStride: true }),
      'ERR_OPTION',
      /stride 3 leaves 2 of 5 columns unread: \(5 \+ 2·0 − 3\) \/ 3 is not whole/,
    );
  });

  test('a gradient of another shape', () => {
    const backward = () => ops.conv1dBackward(integers([1, 2, 4]), integers([1, 2, 5]), integers([2, 2, 3]));
    expectError(backward, 'ERR_SHAPE', /^conv1dBackward: gradOutput must be \[1, 2, 3\]/);
  });
});
