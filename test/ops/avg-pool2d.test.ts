import { describe, expect, test } from 'vitest';
import { ops, Tensor, tensor, vjp } from '../../lib/index.js';
import type { AvgPool2dOptions } from '../../lib/ops/avg-pool2d.js';
import { dot, expectClose, expectError, integers, onBackends } from './helpers.js';

const cases: readonly { options: AvgPool2dOptions; y: readonly number[] }[] = [
  { options: { kernelSize: 2 }, y: [2, 3, 3, 4] },
  { options: { kernelSize: [3, 2], stride: [2, 1], padding: 1 }, y: [2, 3, 4, 10] },
  { options: { kernelSize: 3, stride: 2, padding: 1, countIncludePad: false }, y: [2, 3, 4, 5] },
  { options: { kernelSize: 4, stride: 3, ceilMode: true, padding: 2 }, y: [2, 3, 3, 4] },
  { options: { kernelSize: 3, stride: 2, padding: 'same', countIncludePad: false }, y: [2, 3, 4, 5] },
  { options: { kernelSize: 3, stride: 1, dilation: [2, 3] }, y: [2, 3, 3, 3] },
  {
    options: { kernelSize: 2, stride: 2, dilation: 2, padding: 1, ceilMode: true, countIncludePad: false },
    y: [2, 3, 4, 5],
  },
];

onBackends(() => {
  test('the mean of each window', () => {
    const x = tensor([1, 2, 5, 3, 4, 9, -1, 1]).reshape([1, 1, 2, 4]);
    expect(ops.avgPool2d(x, { kernelSize: 2 }).toArray()).toEqual([[[[4, 2]]]]);
  });

  test('the divisor counts padding, unless it is told not to', () => {
    const x = Tensor.full([1, 1, 2, 2], 8);
    expect(ops.avgPool2d(x, { kernelSize: 2, padding: 1, stride: 2 }).data).toEqual(Float32Array.of(2, 2, 2, 2));
    const own = ops.avgPool2d(x, { kernelSize: 2, padding: 1, stride: 2, countIncludePad: false });
    expect(own.data).toEqual(Float32Array.of(8, 8, 8, 8));
  });

  test('what ceilMode hangs over does not count', () => {
    const x = Tensor.full([1, 1, 1, 3], 6);
    expect(ops.avgPool2d(x, { kernelSize: [1, 2], ceilMode: true }).data).toEqual(Float32Array.of(6, 6));
  });

  test('dilation skips pixels', () => {
    const x = tensor([1, 100, 3, 100, 5]).reshape([1, 1, 1, 5]);
    expectClose(ops.avgPool2d(x, { kernelSize: [1, 3], stride: 1, dilation: 2 }), [[[[3]]]]);
    const padded = { kernelSize: [1, 3], stride: 1, dilation: 2, padding: [0, 1] } as const;
    expectClose(ops.avgPool2d(x, { ...padded, countIncludePad: false }), [[[[100, 3, 100]]]]);
    expectClose(ops.avgPool2d(x, padded), [[[[200 / 3, 3, 200 / 3]]]]);
  });

  for (const { options, y } of cases) {
    test(`${JSON.stringify(options)}: shape, ⟨pool(x), dy⟩ = ⟨x, gradInput⟩, and vjp agrees`, () => {
      const x = integers([2, 3, 7, 9], 1, 'float64');
      const value = ops.avgPool2d(x, options);
      expect(value.shape).toEqual(y);
      const dy = integers(y, 2, 'float64');
      const { gradInput } = ops.avgPool2dBackward(dy, x, options);
      expect(dot(value, dy)).toBeCloseTo(dot(x, gradInput), 9);
      expectClose(vjp((v) => ops.avgPool2d(v, options), [x]).pullback(dy)[0] as Tensor, gradInput, 1e-12);
      const single = ops.avgPool2d(integers([2, 3, 7, 9], 1), options);
      expectClose(single, value);
    });
  }

  test('the gradient of the gradient is the pooling again', () => {
    const options = { kernelSize: 3, stride: 2, padding: 1 };
    const dy = integers([1, 2, 3, 3], 1, 'float64');
    const g = integers([1, 2, 5, 5], 2, 'float64');
    const { pullback } = vjp((v) => ops.avgPool2dBackward(v, g, options).gradInput, [dy]);
    expectClose(pullback(g)[0] as Tensor, ops.avgPool2d(g, options), 1e-12);
  });
});

describe('refuses', () => {
  const x = integers([1, 2, 5, 5]);
  const pool = (options: object) => () => ops.avgPool2d(x, options as AvgPool2dOptions);

  test('what maxPool2d refuses', () => {
    expectError(pool({ kernelSize: -1 }), 'ERR_OPTION', /^avgPool2d: kernelSize must be a whole number >= 1, got -1/);
    expectError(pool({ kernelSize: 3, padding: 2 }), 'ERR_OPTION', /padding may be at most half of the window/);
    expectError(pool({ kernelSize: 9 }), 'ERR_SHAPE', /the kernel spans 9 rows/);
  });

  test('flags that are no flags', () => {
    expectError(
      pool({ kernelSize: 2, countIncludePad: 'no' }),
      'ERR_OPTION',
      /countIncludePad must be true or false, got 'no'/,
    );
  });

  test('a gradient of another shape', () => {
    expectError(() => ops.avgPool2dBackward(x, x, { kernelSize: 2 }), 'ERR_SHAPE', /gradOutput must be \[1, 2, 2, 2\]/);
  });
});
