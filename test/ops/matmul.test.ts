import { describe, expect, test } from 'vitest';
import { ops, Tensor, tensor, vjp } from '../../lib/index.js';
import { matmulOperator } from '../../lib/ops/matmul.js';
import { dot, expectError, integers, onBackends } from './helpers.js';

const a = tensor([
  [1, 2, 3],
  [4, 5, 6],
]);
const b = tensor([
  [1, 0],
  [10, 1],
  [100, 2],
]);

/** The transpose of a matrix. */
function transposed(m: Tensor): Tensor {
  const [rows, columns] = m.shape as [number, number];
  const t = Tensor.zeros([columns, rows]);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) t.data[j * rows + i] = m.data[i * columns + j] as number;
  return t;
}

onBackends(() => {
  test('y[m,n] = Σ a[m,k]·b[k,n]', () => {
    expect(ops.matmul(a, b).toArray()).toEqual([
      [321, 8],
      [654, 17],
    ]);
  });

  test('each operand may be transposed', () => {
    const y = ops.matmul(a, b);
    expect(ops.matmul(transposed(a), b, { transposeA: true })).toEqual(y);
    expect(ops.matmul(a, transposed(b), { transposeB: true })).toEqual(y);
    expect(ops.matmul(transposed(a), transposed(b), { transposeA: true, transposeB: true })).toEqual(y);
  });

  test('vectors are rows on the left, columns on the right, and leave no axis', () => {
    const v = tensor([1, 2, 3]);
    expect(ops.matmul(v, b).toArray()).toEqual([321, 8]);
    expect(ops.matmul(a, v).toArray()).toEqual([14, 32]);
    expect(ops.matmul(v, v).item()).toBe(14);
    expect(ops.matmul(v, v).shape).toEqual([]);
    expect(ops.matmul(integers([4, 2, 3]), v).shape).toEqual([4, 2]);
    expect(ops.matmul(v, integers([4, 3, 2])).shape).toEqual([4, 2]);
    expect(ops.matmul(v, v, { transposeA: true, transposeB: true }).item()).toBe(14);
  });

  test('leading axes broadcast', () => {
    const [x, y] = [integers([2, 1, 3, 4], 1), integers([5, 4, 2], 2)];
    const z = ops.matmul(x, y);
    expect(z.shape).toEqual([2, 5, 3, 2]);
    const part = (t: Tensor, i: number, shape: [number, number]) =>
      new Tensor(shape, t.data.slice(i * shape[0] * shape[1], (i + 1) * shape[0] * shape[1]));
    for (let n = 0; n < 2; n++) {
      for (let m = 0; m < 5; m++) {
        expect(part(z, n * 5 + m, [3, 2])).toEqual(ops.matmul(part(x, n, [3, 4]), part(y, m, [4, 2])));
      }
    }
  });

  for (const transposeA of [false, true]) {
    for (const transposeB of [false, true]) {
      test(`gradients, transposeA ${transposeA}, transposeB ${transposeB}: ⟨y, dy⟩ = ⟨a, da⟩ = ⟨b, db⟩`, () => {
        const [x, y] = [integers(transposeA ? [2, 4, 3] : [2, 3, 4], 1), integers(transposeB ? [5, 4] : [4, 5], 2)];
        const { value, pullback } = vjp((u, v) => ops.matmul(u, v, { transposeA, transposeB }), [x, y]);
        const dy = integers([2, 3, 5], 3);
        const [dx, dw] = pullback(dy) as [Tensor, Tensor];
        expect([dx.shape, dw.shape]).toEqual([x.shape, y.shape]);
        expect(dot(x, dx)).toBe(dot(value, dy));
        expect(dot(y, dw)).toBe(dot(value, dy));
      });
    }
  }
});

describe('refuses', () => {
  test('inner sizes that differ, with both shapes', () => {
    expectError(() => ops.matmul(a, a), 'ERR_SHAPE', /a has 3 columns, b has 2 rows \(a \[2, 3\], b \[2, 3\]\)/);
    expectError(() => ops.matmul(a, b, { transposeA: true }), 'ERR_SHAPE', /a has 2 columns, b has 3 rows/);
  });

  test('batches that do not broadcast, scalars, nothing to sum', () => {
    expectError(
      () => ops.matmul(integers([2, 3, 4]), integers([3, 4, 5])),
      'ERR_SHAPE',
      /\[2\] and \[3\] do not broadcast/,
    );
    expectError(() => ops.matmul(tensor(1), a), 'ERR_SHAPE', /a must have at least one axis, got a scalar/);
    expectError(() => ops.matmul(integers([2, 0]), integers([0, 3])), 'ERR_SHAPE', /the inner size is 0/);
  });

  test('products too large to allocate', () => {
    expectError(
      () => ops.matmul(Tensor.zeros([65536, 1]), Tensor.zeros([1, 65536])),
      'ERR_MEMORY',
      /the product \[65536, 65536\]/,
    );
  });
});

test('costs 2·M·N·K', () => {
  const spec = (shape: readonly number[]) => ({ shape, dtype: 'float32' }) as const;
  expect(matmulOperator.cost([spec([7, 4, 3]), spec([4, 5])], [spec([7, 3, 5])], { transposeA: true }).flops).toBe(
    2 * 7 * 3 * 5 * 4,
  );
});
