import { expect, test } from 'vitest';
import { ops, Tensor, tensor, vjp } from '../../lib/index.js';
import { expectClose, expectError, integers, onBackends } from './helpers.js';

onBackends(() => {
  test('exp(x) / Σ exp(x) along the last axis, or another', () => {
    const x = tensor([
      [0, Math.log(3)],
      [5, 5],
    ]);
    expectClose(ops.softmax(x), [
      [0.25, 0.75],
      [0.5, 0.5],
    ]);
    const rows = integers([3, 4, 5]);
    for (const dim of [0, 1, -1])
      expectClose(
        ops.sum(ops.softmax(rows, { dim }), { dims: dim }),
        Tensor.ones(rows.shape.filter((_, i) => i !== (dim + 3) % 3)),
      );
  });

  test('large logits do not overflow', () => {
    expectClose(ops.softmax(tensor([1e4, 1e4, -1e4])), [0.5, 0.5, 0]);
    expectClose(ops.softmax(tensor([-3e38, 0])), [0, 1]);
  });

  test('the gradient: dx = y·(dy − Σ dy·y)', () => {
    const x = integers([2, 3], 1, 'float64');
    const dy = integers([2, 3], 5, 'float64');
    const { value, pullback } = vjp((v) => ops.softmax(v), [x]);
    const dots = ops.sum(ops.mul(dy, value), { dims: 1, keepDims: true });
    expectClose(pullback(dy)[0] as Tensor, ops.mul(value, ops.sub(dy, dots)), 1e-12);
  });
});

test('refuses scalars and axes that are not there', () => {
  expectError(() => ops.softmax(tensor(1)), 'ERR_SHAPE', /softmax: x must have at least one axis, got a scalar/);
  expectError(
    () => ops.softmax(integers([2, 3]), { dim: 2 }),
    'ERR_OPTION',
    /dim must be a whole number between -2 and 1, got 2/,
  );
  expectError(() => ops.softmax(integers([2, 0])), 'ERR_SHAPE', /has an axis without elements/);
  expect(ops.softmax(integers([0, 3])).shape).toEqual([0, 3]);
});
