import { describe, expect, test } from 'vitest';
import { ops, tensor, vjp } from '../../lib/index.js';
import { dot, expectError, integers, onBackends } from './helpers.js';

const f = tensor([1, 2, -3, 4, 0, 5]);
const g = tensor([2, 1, 3, -1]);

onBackends(() => {
  // Expected values: scipy.signal.convolve of SciPy 1.17.
  test('1-D, every mode, a kernel of even size', () => {
    expect(ops.convolve(f, g).toArray()).toEqual([2, 5, -1, 10, -7, 25, 1, 15, -5]);
    expect(ops.convolve(f, g, { mode: 'same' }).toArray()).toEqual([5, -1, 10, -7, 25, 1]);
    expect(ops.convolve(f, g, { mode: 'valid' }).toArray()).toEqual([10, -7, 25]);
  });

  test("the longer one may be g: 'same' takes the size of f, 'valid' does not mind", () => {
    expect(ops.convolve(g, f, { mode: 'same' }).toArray()).toEqual([-1, 10, -7, 25]);
    expect(ops.convolve(g, f, { mode: 'valid' }).toArray()).toEqual([10, -7, 25]);
  });

  test('multiplies polynomials: (1 + 2t)(3 − t + t²) = 3 + 5t − t² + 2t³', () => {
    expect(ops.convolve(tensor([1, 2]), tensor([3, -1, 1])).toArray()).toEqual([3, 5, -1, 2]);
  });

  test('2-D', () => {
    const image = tensor([
      [1, 2],
      [3, 4],
    ]);
    const kernel = tensor([[1, 10]]);
    expect(ops.convolve(image, kernel).toArray()).toEqual([
      [1, 12, 20],
      [3, 34, 40],
    ]);
  });

  test('the gradient in both operands: the adjoint identities', () => {
    const [a, b] = [integers([5, 4], 1), integers([2, 3], 2)];
    for (const mode of ['full', 'same', 'valid'] as const) {
      const { value, pullback } = vjp((u, v) => ops.convolve(u as typeof a, v as typeof a, { mode }), [a, b]);
      const dy = integers(value.shape, 3);
      const [da, db] = pullback(dy) as [typeof a, typeof a];
      expect(dot(a, da)).toBe(dot(value, dy));
      expect(dot(b, db)).toBe(dot(value, dy));
    }
  });
});

describe('refuses', () => {
  test('ranks that differ or are too high', () => {
    expectError(
      () => ops.convolve(f, integers([2, 2])),
      'ERR_SHAPE',
      /f and g must both be \[L\] or both \[H, W\], got f \[6\], g \[2, 2\]/,
    );
    expectError(() => ops.convolve(integers([1, 2, 2]), integers([1, 2, 2])), 'ERR_SHAPE', /f \[1, 2, 2\]/);
  });

  test("'valid' when neither lies within the other", () => {
    expectError(
      () => ops.convolve(integers([2, 5]), integers([3, 3]), { mode: 'valid' }),
      'ERR_SHAPE',
      /'valid' needs one to lie within the other/,
    );
  });

  test('modes that do not exist', () => {
    expectError(
      () => ops.convolve(f, g, { mode: 'half' as 'full' }),
      'ERR_OPTION',
      /mode must be one of 'full', 'same', 'valid', got 'half'/,
    );
  });

  test('results too large to allocate', () => {
    const long = integers([40000, 1]);
    const wide = integers([1, 40000]);
    expectError(
      () => ops.convolve(long, wide),
      'ERR_MEMORY',
      /^convolve: the padded input \[1, 1, 40000, 79999\] would have/,
    );
  });
});
