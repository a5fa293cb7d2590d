import { describe, expect, test } from 'vitest';
import { ops, type Tensor, tensor, vjp } from '../../lib/index.js';
import { dot, expectClose, expectError, integers, onBackends } from './helpers.js';

onBackends(() => {
  test('row p averages the rows ⌊p·H/P⌋ … ⌈(p + 1)·H/P⌉ − 1', () => {
    const x = tensor([1, 2, 3, 4, 5]).reshape([1, 1, 5, 1]);
    // 5 rows to 3: rows 0–1, 1–3, 3–4
    expectClose(ops.adaptiveAvgPool2d(x, [3, 1]), [[[[1.5], [3], [4.5]]]]);
    // more outputs than inputs repeat
    expectClose(ops.adaptiveAvgPool2d(tensor([1, 3]).reshape([1, 1, 1, 2]), [1, 4]), [[[[1, 1, 3, 3]]]]);
  });

  test('null keeps an axis; the size of the input changes nothing', () => {
    const x = integers([2, 3, 4, 6]);
    expect(ops.adaptiveAvgPool2d(x, [null, 2]).shape).toEqual([2, 3, 4, 2]);
    expectClose(ops.adaptiveAvgPool2d(x, [4, 6]), x);
  });

  test('equal windows: avgPool2d', () => {
    const x = integers([2, 3, 4, 6]);
    expectClose(ops.adaptiveAvgPool2d(x, 2), ops.avgPool2d(x, { kernelSize: [2, 3] }));
  });

  test('⟨pool(x), dy⟩ = ⟨x, gradInput⟩, and vjp agrees', () => {
    const x = integers([2, 3, 7, 5], 1, 'float64');
    for (const size of [1, 2, [3, 4], [9, 5]] as const) {
      const value = ops.adaptiveAvgPool2d(x, size);
      const dy = integers(value.shape, 2, 'float64');
      const { gradInput } = ops.adaptiveAvgPool2dBackward(dy, x, size);
      expect(dot(value, dy)).toBeCloseTo(dot(x, gradInput), 9);
      const { pullback } = vjp((v) => ops.adaptiveAvgPool2d(v, size), [x]);
      expectClose(pullback(dy)[0] as Tensor, gradInput, 1e-12);
    }
  });
});

describe('refuses', () => {
  const x = integers([1, 2, 5, 5]);

  test('sizes that are none', () => {
    const pool = ops.adaptiveAvgPool2d as (x: Tensor, size?: unknown) => Tensor;
    expectError(() => pool(x), 'ERR_OPTION', /outputSize must be a number or \[P, Q\], got undefined/);
    expectError(() => pool(x, 0), 'ERR_OPTION', /outputSize must be a whole number >= 1, got 0/);
    expectError(() => pool(x, [1, 2, 3]), 'ERR_OPTION', /outputSize must be a number or 2 of them/);
    expectError(() => pool(x, 50000), 'ERR_MEMORY', /the output \[1, 2, 50000, 50000\]/);
  });

  test('wrong rank, empty images, a gradient of another shape', () => {
    expectError(() => ops.adaptiveAvgPool2d(integers([5, 5]), 1), 'ERR_SHAPE', /rank 4/);
    expectError(
      () => ops.adaptiveAvgPool2d(integers([1, 2, 0, 5]), 1),
      'ERR_SHAPE',
      /x \[1, 2, 0, 5\] has an axis without elements/,
    );
    expectError(() => ops.adaptiveAvgPool2dBackward(x, x, 2), 'ERR_SHAPE', /gradOutput must be \[1, 2, 2, 2\]/);
  });
});
