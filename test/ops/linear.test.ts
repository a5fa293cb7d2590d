import { describe, expect, test } from 'vitest';
import { ops, type Tensor, tensor, vjp } from '../../lib/index.js';
import { expectError, integers, onBackends } from './helpers.js';

onBackends(() => {
  test('y = x·Wᵀ + b', () => {
    const x = tensor([[1, 2, 3]]);
    const weight = tensor([
      [1, 10, 100],
      [1, 0, -1],
    ]);
    expect(ops.linear(x, weight, tensor([0.5, -1])).toArray()).toEqual([[321.5, -3]]);
    expect(ops.linear(x, weight).toArray()).toEqual([[321, -2]]);
  });

  test('any number of leading axes, none too', () => {
    const [x, w] = [integers([2, 3, 4], 1), integers([5, 4], 2)];
    expect(ops.linear(x, w).shape).toEqual([2, 3, 5]);
    expect(ops.linear(x, w).reshape([6, 5])).toEqual(ops.matmul(x.reshape([6, 4]), w, { transposeB: true }));
    expect(ops.linear(integers([4]), w).shape).toEqual([5]);
  });

  test('gradients: dx = dy·W, dW = dyᵀ·x, db = Σ dy; vjp agrees', () => {
    for (const lead of [[], [3], [2, 3]]) {
      const [x, w, b] = [integers([...lead, 4], 1), integers([5, 4], 2), integers([5], 3)];
      const dy = integers([...lead, 5], 4);
      const named = ops.linearBackward(dy, x, w);
      const rows = (t: Tensor) => t.reshape([-1, t.shape.at(-1) as number]);
      expect(rows(named.gradInput)).toEqual(ops.matmul(rows(dy), w));
      expect(named.gradInput.shape).toEqual(x.shape);
      expect(named.gradWeight).toEqual(ops.matmul(rows(dy), rows(x), { transposeA: true }));
      expect(named.gradBias).toEqual(ops.sum(rows(dy), { dims: 0 }));
      const [gradInput, gradWeight, gradBias] = vjp(ops.linear, [x, w, b]).pullback(dy);
      expect({ gradInput, gradWeight, gradBias }).toEqual(named);
    }
  });

  test('the gradient of the weight gradient', () => {
    const [x, dy, g] = [integers([3, 4], 1), integers([3, 5], 2), integers([5, 4], 3)];
    const { pullback } = vjp((u, v) => ops.linearBackward(v, u, integers([5, 4])).gradWeight, [x, dy]);
    const [gx, gdy] = pullback(g);
    expect(gx).toEqual(ops.matmul(dy, g));
    expect(gdy).toEqual(ops.matmul(x, g, { transposeB: true }));
  });
});

describe('refuses', () => {
  const w = integers([5, 4]);

  test('features that differ', () => {
    expectError(
      () => ops.linear(integers([2, 3]), w),
      'ERR_SHAPE',
      /weight expects 4 features, x has 3 \(x \[2, 3\], weight \[5, 4\]\)/,
    );
  });

  test('wrong ranks and a bias of another size', () => {
    expectError(
      () => ops.linear(integers([2, 4]), integers([5, 4, 1])),
      'ERR_SHAPE',
      /weight must be \[out, in\] \(rank 2\)/,
    );
    expectError(() => ops.linear(tensor(1), w), 'ERR_SHAPE', /x must be \[\.\.\., in\], got a scalar/);
    expectError(
      () => ops.linear(integers([2, 4]), w, integers([4])),
      'ERR_SHAPE',
      /bias must be \[5\], one per row of weight \[5, 4\], got \[4\]/,
    );
  });

  test('a gradient of another shape', () => {
    expectError(
      () => ops.linearBackward(integers([2, 4]), integers([2, 4]), w),
      'ERR_SHAPE',
      /gradOutput must be \[2, 5\]/,
    );
  });
});
