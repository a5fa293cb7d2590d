import { describe, expect, test } from 'vitest';
import { ops, Tensor, vjp } from '../../lib/index.js';
import { dot, expectError, integers, onBackends } from './helpers.js';

onBackends(() => {
  test('counts in how many windows each pixel lies', () => {
    const counts = ops.col2im(Tensor.ones([1, 4, 4]), 3, 2);
    expect(counts.toArray()).toEqual([
      [
        [
          [1, 2, 1],
          [2, 4, 2],
          [1, 2, 1],
        ],
      ],
    ]);
  });

  test('is the transpose of im2col: ⟨im2col(x), c⟩ = ⟨x, col2im(c)⟩', () => {
    for (const options of [
      {},
      { stride: [2, 3] },
      {
        padding: [
          [2, 0],
          [1, 1],
        ],
      },
      { dilation: 2, padding: 1, stride: 2 },
    ] as const) {
      const x = integers([2, 3, 6, 7], 1);
      const columns = ops.im2col(x, [2, 3], options);
      const c = integers(columns.shape, 2);
      expect(dot(columns, c)).toBe(dot(x, ops.col2im(c, [6, 7], [2, 3], options)));
    }
  });

  test('the gradient is im2col', () => {
    const c = integers([1, 8, 9], 1);
    const { pullback } = vjp((v) => ops.col2im(v, 4, 2), [c]);
    const dy = integers([1, 2, 4, 4], 2);
    expect(pullback(dy)[0]).toEqual(ops.im2col(dy, 2));
  });
});

describe('refuses', () => {
  test('rows that the window does not divide, another number of windows', () => {
    expectError(
      () => ops.col2im(integers([1, 6, 9]), 4, 2),
      'ERR_SHAPE',
      /R·S = 4 does not divide the 6 rows of columns \[1, 6, 9\]/,
    );
    expectError(
      () => ops.col2im(integers([1, 8, 8]), 4, 2),
      'ERR_SHAPE',
      /an image of 4 × 4 has P·Q = 9 windows, columns \[1, 8, 8\] holds 8/,
    );
  });

  test('wrong rank and sizes', () => {
    expectError(() => ops.col2im(integers([8, 9]), 4, 2), 'ERR_SHAPE', /columns must be \[N, C·R·S, P·Q\] \(rank 3\)/);
    expectError(
      () => ops.col2im(integers([1, 8, 9]), -4, 2),
      'ERR_OPTION',
      /outputSize must be a whole number >= 1, got -4/,
    );
  });
});
