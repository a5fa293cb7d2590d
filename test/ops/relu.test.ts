import { expect, test } from 'vitest';
import { ops, Tensor, tensor, vjp } from '../../lib/index.js';
import { apply1 } from '../../lib/ops/operator.js';
import { reluBackwardOperator } from '../../lib/ops/relu.js';
import { expectError, onBackends } from './helpers.js';

onBackends(() => {
  test('max(x, 0); NaN stays NaN', () => {
    const y = ops.relu(tensor([-1, 0, 2, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN]));
    expect(y.toArray()).toEqual([0, 0, 2, Number.POSITIVE_INFINITY, 0, Number.NaN]);
  });

  test('any shape, also a scalar', () => {
    expect(ops.relu(Tensor.full([2, 1, 3, 1, 2], -1)).shape).toEqual([2, 1, 3, 1, 2]);
    expect(ops.relu(tensor(3)).item()).toBe(3);
  });

  test('the gradient passes where x > 0, and is 0 at 0', () => {
    const { pullback } = vjp(ops.relu, [tensor([-1, 0, 2])]);
    expect(pullback(tensor([5, 6, 7]))[0]?.toArray()).toEqual([0, 0, 7]);
  });

  test('the gradient of the gradient is the same mask', () => {
    const y = tensor([0, 0, 2]);
    const { pullback } = vjp((dy) => apply1(reluBackwardOperator, [dy, y]), [tensor([5, 6, 7])]);
    expect(pullback(tensor([1, 2, 3]))[0]?.toArray()).toEqual([0, 0, 3]);
  });
});

test('refuses integers', () => {
  expectError(() => ops.relu(Tensor.zeros([2], 'uint8')), 'ERR_DTYPE', /x must be float32 or float64, got uint8/);
});
