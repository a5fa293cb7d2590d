import { expect, test } from 'vitest';
import { ops, tensor, vjp } from '../../lib/index.js';
import { dot, expectError, integers, onBackends } from './helpers.js';

const f = tensor([1, 2, -3, 4, 0, 5]);
const g = tensor([2, 1, 3, -1]);

onBackends(() => {
  // Expected values: scipy.signal.correlate of SciPy 1.17.
  test('1-D, every mode, a kernel of even size', () => {
    expect(ops.correlate(f, g).toArray()).toEqual([-1, 1, 10, -9, 13, -7, 23, 5, 10]);
    expect(ops.correlate(f, g, { mode: 'same' }).toArray()).toEqual([1, 10, -9, 13, -7, 23]);
    expect(ops.correlate(f, g, { mode: 'valid' }).toArray()).toEqual([-9, 13, -7]);
  });

  test('the longer one may be g; the result is then reversed', () => {
    expect(ops.correlate(g, f).toArray()).toEqual([10, 5, 23, -7, 13, -9, 10, 1, -1]);
    expect(ops.correlate(g, f, { mode: 'same' }).toArray()).toEqual([23, -7, 13, -9]);
    expect(ops.correlate(g, f, { mode: 'valid' }).toArray()).toEqual([-7, 13, -9]);
  });

  test('2-D', () => {
    const image = tensor([
      [1, 2],
      [3, 4],
    ]);
    const kernel = tensor([[1, 10]]);
    expect(ops.correlate(image, kernel).toArray()).toEqual([
      [10, 21, 2],
      [30, 43, 4],
    ]);
  });

  test('the gradient in both operands: the adjoint identities', () => {
    const [a, b] = [integers([5, 4], 1), integers([2, 3], 2)];
    for (const mode of ['full', 'same', 'valid'] as const) {
      const { value, pullback } = vjp((u, v) => ops.correlate(u as typeof a, v as typeof a, { mode }), [a, b]);
      const dy = integers(value.shape, 3);
      const [da, db] = pullback(dy) as [typeof a, typeof a];
      expect(dot(a, da)).toBe(dot(value, dy));
      expect(dot(b, db)).toBe(dot(value, dy));
    }
  });
});

test('refuses what convolve refuses, under its own name', () => {
  expectError(
    () => ops.correlate(f, integers([2, 2])),
    'ERR_SHAPE',
    /^correlate: f and g must both be \[L\] or both \[H, W\]/,
  );
  expectError(
    () => ops.correlate(integers([2, 5]), integers([3, 3]), { mode: 'valid' }),
    'ERR_SHAPE',
    /^correlate: 'valid' needs/,
  );
});
