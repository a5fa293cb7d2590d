import { test } from 'vitest';
import { ops, type Tensor, tensor, vjp } from '../../lib/index.js';
import { expectClose, expectError, integers, onBackends } from './helpers.js';

onBackends(() => {
  test('x − log Σ exp(x) along the last axis, or another', () => {
    expectClose(ops.logSoftmax(tensor([[0, Math.log(3)]])), [[-Math.log(4), Math.log(0.75)]]);
    const x = integers([3, 4, 5]);
    for (const dim of [0, 1, 2]) {
      const log = ops.logSoftmax(x, { dim });
      const p = ops.softmax(x, { dim });
      expectClose(log, tensor(Float32Array.from(p.data, Math.log), p.shape), 1e-5);
    }
  });

  test('where softmax is 0 the logarithm is still there', () => {
    expectClose(ops.logSoftmax(tensor([0, -1000])), [0, -1000]);
    expectClose(ops.logSoftmax(tensor([1e4, 1e4])), [-Math.LN2, -Math.LN2]);
  });

  test('the gradient: dx = dy − softmax(x)·Σ dy', () => {
    const x = integers([2, 3], 1, 'float64');
    const dy = integers([2, 3], 5, 'float64');
    const { pullback } = vjp((v) => ops.logSoftmax(v), [x]);
    const total = ops.sum(dy, { dims: 1, keepDims: true });
    expectClose(pullback(dy)[0] as Tensor, ops.sub(dy, ops.mul(ops.softmax(x), total)), 1e-12);
  });
});

test('refuses under its own name', () => {
  expectError(
    () => ops.logSoftmax(integers([2, 3]), { dim: Number.NaN }),
    'ERR_OPTION',
    /^logSoftmax: dim must be a whole number/,
  );
});
