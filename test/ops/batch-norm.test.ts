import { describe, expect, test } from 'vitest';
import { ops, Tensor, tensor, vjp } from '../../lib/index.js';
import type { BatchNormOptions } from '../../lib/ops/batch-norm.js';
import { expectClose, expectError, integers, onBackends } from './helpers.js';

const x = tensor([
  [1, 10],
  [3, 10],
  [5, 40],
]);

onBackends(() => {
  test('training: each channel gets mean 0 and variance 1, then weight and bias', () => {
    const y = ops.batchNorm(x, null, null, { training: true, eps: 0 });
    const r = Math.sqrt(1.5);
    expectClose(y, [
      [-r, -Math.SQRT1_2],
      [0, -Math.SQRT1_2],
      [r, Math.SQRT2],
    ]);
    const z = ops.batchNorm(x, tensor([2, 1]), tensor([1, -1]), { training: true, eps: 0 });
    expectClose(z, [
      [1 - 2 * r, -1 - Math.SQRT1_2],
      [1, -1 - Math.SQRT1_2],
      [1 + 2 * r, -1 + Math.SQRT2],
    ]);
  });

  test('training updates the running statistics in place, with the unbiased variance', () => {
    const [runningMean, runningVar] = [tensor([0, 0]), tensor([1, 1])];
    ops.batchNorm(x, null, null, { runningMean, runningVar, training: true });
    expectClose(runningMean, [0.3, 2]); //                0.9·0 + 0.1·(3, 20)
    expectClose(runningVar, [0.9 + 0.4, 0.9 + 30]); //    0.9·1 + 0.1·(4, 300)
    ops.batchNorm(x, null, null, { runningMean, runningVar, training: true, momentum: 1 });
    expectClose(runningMean, [3, 20]);
    expectClose(runningVar, [4, 300]);
  });

  test('a traced function updates them once per run', () => {
    const [runningMean, runningVar] = [tensor([0, 0]), tensor([1, 1])];
    const options = { runningMean, runningVar, training: true } as const;
    const { pullback } = vjp((v) => ops.batchNorm(v, null, null, options), [x]);
    pullback(
      tensor([
        [1, 0],
        [0, 1],
        [0, 0],
      ]),
    );
    expectClose(runningMean, [0.3, 2]);
    expectClose(runningVar, [1.3, 30.9]);
  });

  test('inference uses the running statistics and leaves them', () => {
    const [runningMean, runningVar] = [tensor([1, 10]), tensor([4, 25])];
    const y = ops.batchNorm(x, tensor([1, 2]), tensor([0, 1]), { runningMean, runningVar, eps: 0 });
    expectClose(y, [
      [0, 1],
      [1, 1],
      [2, 13],
    ]);
    expect([...runningMean.data, ...runningVar.data]).toEqual([1, 10, 4, 25]);
  });

  test('statistics go over batch and space: [N, C, L] and [N, C, H, W] agree with [N·L, C]', () => {
    const image = integers([4, 3, 2, 5], 2);
    const y = ops.batchNorm(image, null, null, { training: true });
    expectClose(ops.batchNorm(image.reshape([4, 3, 10]), null, null, { training: true }), y.reshape([4, 3, 10]));
    expectClose(ops.mean(y, { dims: [0, 2, 3] }), [0, 0, 0]);
    expectClose(ops.mean(ops.mul(y, y), { dims: [0, 2, 3] }), [1, 1, 1], 1e-4);
  });

  test('a mean far from 0 does not spoil the variance', () => {
    const far = new Tensor([4, 1], Float32Array.of(10000, 10001, 10002, 10003));
    const y = ops.batchNorm(far, null, null, { training: true, eps: 0 });
    expectClose(
      y,
      [[-1.5], [-0.5], [0.5], [1.5]].map(([v]) => [(v as number) / Math.sqrt(1.25)]),
      1e-4,
    );
  });

  test('gradients in training: Σ dx = 0, Σ dx·x̂ = 0; dweight = Σ dy·x̂, dbias = Σ dy', () => {
    const [v, weight, bias] = [
      integers([6, 3, 4], 1, 'float64'),
      integers([3], 2, 'float64'),
      integers([3], 3, 'float64'),
    ];
    const dy = integers([6, 3, 4], 5, 'float64');
    const { pullback } = vjp((a, w, b) => ops.batchNorm(a, w, b, { training: true, eps: 0 }), [v, weight, bias]);
    const [dx, dweight, dbias] = pullback(dy) as [Tensor, Tensor, Tensor];
    const xhat = ops.batchNorm(v, null, null, { training: true, eps: 0 });
    const dims = [0, 2];
    expectClose(ops.sum(dx, { dims }), Tensor.zeros([3]), 1e-12);
    expectClose(ops.sum(ops.mul(dx, xhat), { dims }), Tensor.zeros([3]), 1e-12);
    expectClose(dweight, ops.sum(ops.mul(dy, xhat), { dims }), 1e-12);
    expectClose(dbias, ops.sum(dy, { dims }), 1e-12);
  });

  test('gradients in inference: dx = dy·weight / √(var + eps)', () => {
    const [runningMean, runningVar] = [tensor([1, 10]), tensor([4, 25])];
    const { pullback } = vjp(
      (v, w) => ops.batchNorm(v, w, null, { runningMean, runningVar, eps: 0 }),
      [x, tensor([2, 5])],
    );
    const [dx, dweight] = pullback(
      tensor([
        [1, 1],
        [2, 2],
        [3, 3],
      ]),
    ) as [Tensor, Tensor];
    expectClose(dx, [
      [1, 1],
      [2, 2],
      [3, 3],
    ]);
    expectClose(dweight, [0 + 2 * 1 + 3 * 2, 3 * 6]);
  });
});

describe('refuses', () => {
  const norm =
    (options: object, input = x) =>
    () =>
      ops.batchNorm(input, null, null, options as BatchNormOptions<Tensor>);

  test('one value per channel in training', () => {
    expectError(
      norm({ training: true }, integers([1, 3])),
      'ERR_SHAPE',
      /training needs more than one value per channel, x \[1, 3\] has 1/,
    );
    expectError(norm({ training: true }, integers([0, 3, 2])), 'ERR_SHAPE', /x \[0, 3, 2\] has 0/);
  });

  test('inference without running statistics', () => {
    expectError(norm({}), 'ERR_OPTION', /inference needs runningMean and runningVar; \{ training: true \}/);
  });

  test('ranks and channels that differ', () => {
    expectError(
      norm({ training: true }, integers([3])),
      'ERR_SHAPE',
      /x must be \[N, C\], \[N, C, L\] or \[N, C, H, W\], got \[3\] \(rank 1\)/,
    );
    expectError(
      () => ops.batchNorm(x, tensor([1, 2, 3]), null, { training: true }),
      'ERR_SHAPE',
      /weight must be \[2\], one per channel of x \[3, 2\], got \[3\]/,
    );
    expectError(
      norm({ runningMean: tensor([1]), runningVar: tensor([1, 1]) }),
      'ERR_SHAPE',
      /runningMean must be \[2\]/,
    );
  });

  test('numbers that are none', () => {
    expectError(norm({ training: true, eps: Number.NaN }), 'ERR_OPTION', /eps must be a number >= 0, got NaN/);
    expectError(
      norm({ training: true, momentum: 1.5 }),
      'ERR_OPTION',
      /momentum must be a number between 0 and 1, got 1\.5/,
    );
    expectError(norm({ training: 'yes' }), 'ERR_OPTION', /training must be true or false, got 'yes'/);
  });
});
