import { describe, expect, test } from 'vitest';
import {
  outputSize,
  resolvePadding,
  span,
  unread,
  unreadWarnings,
  type WindowAxis,
} from '../../lib/geometry/window.js';

/** Every small window that fits. */
function* axes(): Generator<WindowAxis> {
  for (const size of [1, 2, 5, 6])
    for (const kernel of [1, 2, 3])
      for (const stride of [1, 2, 3, 4])
        for (const dilation of [1, 2])
          for (const [before, after] of [
            [0, 0],
            [1, 1],
            [0, 2],
            [2, 0],
          ] as const) {
            if (span(kernel, dilation) <= size + before + after)
              yield { size, kernel, stride, dilation, before, after };
          }
}

test('outputSize counts the positions at which the window lies within the padded input', () => {
  for (const axis of axes()) {
    const padded = axis.size + axis.before + axis.after;
    let positions = 0;
    while (positions * axis.stride + span(axis.kernel, axis.dilation) <= padded) positions++;
    expect({ axis, size: outputSize(axis) }).toEqual({ axis, size: positions });
  }
});

test('unread counts the input elements after the last window', () => {
  for (const axis of axes()) {
    const end = (outputSize(axis) - 1) * axis.stride + span(axis.kernel, axis.dilation) - axis.before; // first not reached
    const expected = Math.min(Math.max(axis.size - end, 0), axis.size);
    expect({ axis, unread: unread(axis) }).toEqual({ axis, unread: expected });
  }
});

describe('padding by word', () => {
  test("'same': ceil(size / stride) outputs, the extra pixel at the end", () => {
    for (const { size, kernel, stride, dilation } of axes()) {
      const [[before, after]] = resolvePadding('test', 'same', [{ size, kernel, stride, dilation }]) as [
        [number, number],
      ];
      expect(outputSize({ size, kernel, stride, dilation, before, after })).toBe(Math.ceil(size / stride));
      expect([0, 1]).toContain(after - before);
    }
  });

  test("'full': every overlap, 'valid': none beyond the input", () => {
    const axis = { size: 5, kernel: 3, stride: 1, dilation: 2 };
    expect(resolvePadding('test', 'full', [axis])).toEqual([[4, 4]]);
    expect(resolvePadding('test', 'valid', [axis])).toEqual([[0, 0]]);
  });
});

test('padding as numbers: all sides, per axis, per side', () => {
  const axis = { size: 5, kernel: 3, stride: 1, dilation: 1 };
  expect(resolvePadding('test', 2, [axis, axis])).toEqual([
    [2, 2],
    [2, 2],
  ]);
  expect(resolvePadding('test', [1, 2], [axis, axis])).toEqual([
    [1, 1],
    [2, 2],
  ]);
  expect(
    resolvePadding(
      'test',
      [
        [1, 2],
        [3, 4],
      ],
      [axis, axis],
    ),
  ).toEqual([
    [1, 2],
    [3, 4],
  ]);
});

describe('unread warnings', () => {
  const axis = { size: 224, kernel: 7, stride: 2, dilation: 1, before: 3, after: 3 };

  test('none when only padding is left over: the stem of ResNet', () => {
    expect((224 + 2 * 3 - 7) % 2).toBe(1);
    expect(unreadWarnings([axis, axis])).toEqual([]);
  });

  test('show the arithmetic, with both paddings when they differ', () => {
    const row = { size: 8, kernel: 3, stride: 4, dilation: 1, before: 1, after: 0 };
    expect(unreadWarnings([axis, row])).toEqual([
      'stride 4 leaves 2 of 8 columns unread: (8 + 1 + 0 − 3) / 4 is not whole',
    ]);
  });
});
