import { describe, expect, test } from 'vitest';
import { ops, tensor, vjp } from '../../lib/index.js';
import { expectError, integers, onBackends } from './helpers.js';

onBackends(() => {
  test('each window is a column', () => {
    const x = tensor([1, 2, 3, 4, 5, 6, 7, 8, 9]).reshape([1, 1, 3, 3]);
    expect(ops.im2col(x, 2).toArray()).toEqual([
      [
        [1, 2, 4, 5],
        [2, 3, 5, 6],
        [4, 5, 7, 8],
        [5, 6, 8, 9],
      ],
    ]);
  });

  test('zeros stand in the padding; rows are ordered by channel, then by tap', () => {
    const x = tensor([1, 2, 3, 4]).reshape([1, 2, 1, 2]);
    const columns = ops.im2col(x, [1, 2], {
      padding: [
        [0, 0],
        [1, 0],
      ],
      dilation: [1, 1],
      stride: [1, 2],
    });
    expect(columns.toArray()).toEqual([[[0], [1], [0], [3]]]);
  });

  test('stride, dilation and padding give the windows of conv2d', () => {
    const options = {
      stride: [2, 1],
      padding: [
        [1, 2],
        [0, 3],
      ],
      dilation: [2, 3],
    } as const;
    const [x, w] = [integers([2, 3, 7, 8], 1), integers([1, 3, 2, 3], 2)];
    const columns = ops.im2col(x, [2, 3], options);
    const y = ops.conv2d(x, w, null, options);
    expect(columns.shape).toEqual([2, 3 * 2 * 3, (y.shape[2] as number) * (y.shape[3] as number)]);
    expect(ops.matmul(w.reshape([1, 18]), columns).reshape(y.shape)).toEqual(y);
  });

  test('the gradient is col2im', () => {
    const x = integers([2, 3, 5, 6], 1);
    const options = { stride: 2, padding: 1 };
    const { value, pullback } = vjp((v) => ops.im2col(v, [3, 2], options), [x]);
    const dy = integers(value.shape, 2);
    expect(pullback(dy)[0]).toEqual(ops.col2im(dy, [5, 6], [3, 2], options));
  });
});

describe('refuses', () => {
  const x = integers([1, 2, 4, 4]);

  test('wrong rank, windows that do not fit', () => {
    expectError(
      () => ops.im2col(integers([2, 4, 4]), 2),
      'ERR_SHAPE',
      /x must be \[N, C, H, W\] \(rank 4\), got \[2, 4, 4\]/,
    );
    expectError(() => ops.im2col(x, 5), 'ERR_SHAPE', /the kernel spans 5 rows, the padded input has 4 \+ 2·0 = 4/);
  });

  test('options out of range or unknown', () => {
    expectError(() => ops.im2col(x, 0), 'ERR_OPTION', /kernelSize must be a whole number >= 1, got 0/);
    expectError(
      () => ops.im2col(x, 2, { stride: Number.NaN }),
      'ERR_OPTION',
      /stride must be a whole number >= 1, got NaN/,
    );
    expectError(() => ops.im2col(x, 2, { groups: 2 } as object), 'ERR_OPTION', /unknown option "groups"/);
  });

  test('matrices too large to allocate', () => {
    expectError(() => ops.im2col(integers([1, 1, 500, 500]), 200), 'ERR_MEMORY', /the column matrix/);
  });
});
