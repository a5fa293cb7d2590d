import { expect, test } from 'vitest';
import { ops, type Tensor, tensor, vjp } from '../../lib/index.js';
import { expectClose, expectError, integers, onBackends } from './helpers.js';

onBackends(() => {
  test('the mean of each channel', () => {
    const x = tensor([1, 2, 3, 6, -1, -1, -1, 7]).reshape([1, 2, 2, 2]);
    expect(ops.globalAvgPool2d(x).toArray()).toEqual([[[[3]], [[1]]]]);
    const large = integers([2, 17, 5, 7]);
    expectClose(ops.globalAvgPool2d(large), ops.mean(large, { dims: [2, 3], keepDims: true }));
  });

  test('every pixel takes dy / (H·W), and vjp agrees', () => {
    const x = integers([2, 3, 2, 5]);
    const dy = integers([2, 3, 1, 1], 2);
    const { gradInput } = ops.globalAvgPool2dBackward(dy, x);
    expectClose(gradInput, spread(dy, x.shape));
    expectClose(vjp((v) => ops.globalAvgPool2d(v), [x]).pullback(dy)[0] as Tensor, gradInput);
  });
});

/** dy / (H·W) at every pixel */
function spread(dy: Tensor, shape: readonly number[]): Tensor {
  const [, , h, w] = shape as [number, number, number, number];
  const pixels = h * w;
  return tensor(
    Array.from({ length: dy.size * pixels }, (_, i) => (dy.data[Math.floor(i / pixels)] as number) / pixels),
    shape,
  );
}

test('refuses other ranks', () => {
  expectError(
    () => ops.globalAvgPool2d(integers([2, 3, 4])),
    'ERR_SHAPE',
    /x must be \[N, C, H, W\] \(rank 4\), got \[2, 3, 4\]/,
  );
  expect(ops.globalAvgPool2d(integers([0, 3, 4, 4])).shape).toEqual([0, 3, 1, 1]);
});
