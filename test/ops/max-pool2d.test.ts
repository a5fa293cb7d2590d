import { describe, expect, test } from 'vitest';
import { ops, Tensor, tensor, vjp } from '../../lib/index.js';
import type { MaxPool2dOptions } from '../../lib/ops/max-pool2d.js';
import { dot, expectError, integers, onBackends } from './helpers.js';

const cases: readonly { options: MaxPool2dOptions; y: readonly number[] }[] = [
  { options: { kernelSize: 2 }, y: [2, 3, 3, 4] },
  { options: { kernelSize: 3, stride: 2, padding: 1 }, y: [2, 3, 4, 5] },
  {
    options: {
      kernelSize: [2, 3],
      stride: [1, 2],
      padding: [
        [1, 0],
        [0, 1],
      ],
    },
    y: [2, 3, 7, 4],
  },
  { options: { kernelSize: 3, stride: 1, dilation: [2, 1] }, y: [2, 3, 3, 7] },
  { options: { kernelSize: 2, ceilMode: true }, y: [2, 3, 4, 5] },
  { options: { kernelSize: 3, stride: 3, padding: 1, ceilMode: true }, y: [2, 3, 3, 4] },
  { options: { kernelSize: 3, stride: 2, padding: 'same' }, y: [2, 3, 4, 5] },
];

onBackends(() => {
  test('the largest of each window', () => {
    const x = tensor([1, 2, 5, 3, 4, 9, -1, 0, 8, 7, 6, 6]).reshape([1, 1, 3, 4]);
    expect(ops.maxPool2d(x, { kernelSize: 2 }).toArray()).toEqual([[[[9, 5]]]]);
    expect(ops.maxPool2d(x, { kernelSize: 2, stride: 1 }).toArray()).toEqual([
      [
        [
          [9, 9, 5],
          [9, 9, 6],
        ],
      ],
    ]);
  });

  test('padding is −∞, never a 0 that wins', () => {
    const x = Tensor.full([1, 1, 2, 2], -3);
    expect(ops.maxPool2d(x, { kernelSize: 2, padding: 1, stride: 2 }).toArray()).toEqual([
      [
        [
          [-3, -3],
          [-3, -3],
        ],
      ],
    ]);
  });

  test('a NaN in the window wins', () => {
    const x = tensor([1, Number.NaN, 3, 4]).reshape([1, 1, 1, 4]);
    expect(ops.maxPool2d(x, { kernelSize: [1, 2] }).toArray()).toEqual([[[[Number.NaN, 4]]]]);
  });

  test('the gradient goes to the first maximum', () => {
    const x = tensor([7, 7, 1, 7]).reshape([1, 1, 2, 2]);
    const { gradInput: dx } = ops.maxPool2dBackward(tensor([[[[5]]]]), x, { kernelSize: 2 });
    expect(dx.toArray()).toEqual([
      [
        [
          [5, 0],
          [0, 0],
        ],
      ],
    ]);
  });

  for (const { options, y } of cases) {
    test(`${JSON.stringify(options)}: shape, ⟨pool(x), dy⟩ = ⟨x, gradInput⟩, and vjp agrees`, () => {
      const x = integers([2, 3, 7, 9], 1);
      const value = ops.maxPool2d(x, options);
      expect(value.shape).toEqual(y);
      const dy = integers(y, 2);
      const { gradInput } = ops.maxPool2dBackward(dy, x, options);
      expect(dot(value, dy)).toBe(dot(x, gradInput)); // max is linear where the winner stays
      expect(vjp((v) => ops.maxPool2d(v, options), [x]).pullback(dy)[0]).toEqual(gradInput);
    });
  }

  test('windows of more than 256 pixels', () => {
    const x = Tensor.zeros([1, 1, 20, 20]);
    x.data[399] = 1;
    expect(ops.maxPool2d(x, { kernelSize: 20 }).item()).toBe(1);
    expect(ops.maxPool2dBackward(tensor([[[[2]]]]), x, { kernelSize: 20 }).gradInput.data[399]).toBe(2);
  });
});

describe('refuses', () => {
  const x = integers([1, 2, 5, 5]);
  const pool = (options: object) => () => ops.maxPool2d(x, options as MaxPool2dOptions);

  test('no kernelSize, one that is no size, one that does not fit', () => {
    expectError(pool({}), 'ERR_OPTION', /kernelSize must be a whole number >= 1, got undefined/);
    expectError(pool({ kernelSize: 0 }), 'ERR_OPTION', /kernelSize must be a whole number >= 1, got 0/);
    expectError(pool({ kernelSize: 6 }), 'ERR_SHAPE', /the kernel spans 6 rows, the padded input has 5 \+ 2·0 = 5/);
    expectError(
      () => (ops.maxPool2d as (x: Tensor) => unknown)(x),
      'ERR_OPTION',
      /options must be an object like \{ kernelSize: … \}, got undefined/,
    );
  });

  test('padding of more than half a window', () => {
    expectError(
      pool({ kernelSize: 3, padding: 2 }),
      'ERR_OPTION',
      /padding may be at most half of the window: 2 > 1 = ⌊3 \/ 2⌋ rows/,
    );
  });

  test('dilated windows that hold padding only', () => {
    const small = () => ops.maxPool2d(integers([1, 1, 1, 4]), { kernelSize: 2, dilation: 2, padding: 1 });
    expectError(small, 'ERR_SHAPE', /the taps of the window at -1 step over all 1 rows: dilation 2, padding 1/);
  });

  test('unknown options, wrong rank and type, a gradient of another shape', () => {
    expectError(
      pool({ kernelSize: 2, cielMode: true }),
      'ERR_OPTION',
      /unknown option "cielMode"; did you mean "ceilMode"\?/,
    );
    expectError(
      () => ops.maxPool2d(integers([5, 5]), { kernelSize: 2 }),
      'ERR_SHAPE',
      /x must be \[N, C, H, W\] \(rank 4\), got \[5, 5\]/,
    );
    expectError(() => ops.maxPool2d(integers([1, 2, 5, 5], 1, 'uint8'), { kernelSize: 2 }), 'ERR_DTYPE', /got uint8/);
    expectError(
      () => ops.maxPool2dBackward(integers([1, 2, 3, 3]), x, { kernelSize: 2 }),
      'ERR_SHAPE',
      /gradOutput must be \[1, 2, 2, 2\]/,
    );
  });
});
