import { describe, expect, test } from 'vitest';
import { ops, Tensor, tensor, vjp } from '../../lib/index.js';
import { addOperator } from '../../lib/ops/add.js';
import { expectError, integers, onBackends } from './helpers.js';

onBackends(() => {
  test('adds element by element', () => {
    expect(ops.add(tensor([1, 2, 3]), tensor([10, 20, 30])).toArray()).toEqual([11, 22, 33]);
  });

  test('broadcasts as NumPy: aligned at the end, axes of 1 repeat', () => {
    const a = tensor([[1], [2]]);
    expect(ops.add(a, tensor([10, 20, 30])).toArray()).toEqual([
      [11, 21, 31],
      [12, 22, 32],
    ]);
    expect(ops.add(integers([2, 1, 3]), integers([4, 1])).shape).toEqual([2, 4, 3]);
    expect(ops.add(tensor(5), tensor(2)).item()).toBe(7);
  });

  test('computes in float64 when asked to', () => {
    const a = new Tensor([1], Float64Array.of(1));
    expect(ops.add(a, new Tensor([1], Float64Array.of(1e-12))).data[0]).toBe(1 + 1e-12);
  });

  test('the gradient of a repeated operand is summed over its repetitions', () => {
    const { value, pullback } = vjp(ops.add, [integers([2, 1]), integers([3])]);
    expect(value.shape).toEqual([2, 3]);
    const [da, db] = pullback(
      tensor([
        [1, 2, 3],
        [4, 5, 6],
      ]),
    );
    expect(da?.toArray()).toEqual([[6], [15]]);
    expect(db?.toArray()).toEqual([5, 7, 9]);
  });

  test('an empty operand gives an empty sum', () => {
    expect(ops.add(Tensor.zeros([0, 3]), tensor([1, 2, 3])).shape).toEqual([0, 3]);
  });
});

describe('refuses', () => {
  test('shapes that do not broadcast', () => {
    expectError(
      () => ops.add(integers([2, 3]), integers([2])),
      'ERR_SHAPE',
      /\[2, 3\] and \[2\] do not broadcast: axis 1 is 3 in one and 2 in the other/,
    );
  });

  test('different and integer types', () => {
    expectError(() => ops.add(integers([1]), integers([1], 1, 'float64')), 'ERR_DTYPE', /b is float64, a is float32/);
    expectError(
      () => ops.add(integers([1], 1, 'int32'), integers([1])),
      'ERR_DTYPE',
      /a must be float32 or float64, got int32/,
    );
  });

  test('sums too large to allocate', () => {
    expectError(
      () => ops.add(Tensor.zeros([65536, 1]), Tensor.zeros([1, 65536])),
      'ERR_MEMORY',
      /65536 · 65536 = 4294967296/,
    );
  });
});

test('costs one addition per element', () => {
  const spec = { shape: [2, 3], dtype: 'float32' } as const;
  expect(addOperator.cost([spec, spec], [spec], {})).toEqual({ flops: 6, bytes: 3 * 6 * 4 });
});
