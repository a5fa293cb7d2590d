import { expect, test } from 'vitest';
import { adaptiveSize, type Pool2dOptions, poolGeometry } from '../../lib/geometry/pool.js';

const names = ['kernelSize', 'stride', 'padding', 'dilation', 'ceilMode'];
const size = (h: number, options: Pool2dOptions) =>
  poolGeometry('test', [1, 1, h, 20], options, names).attributes.outputSize[0];

test('ceilMode rounds up, but no window begins beyond the input and its leading padding', () => {
  // Numbers from PyTorch's max_pool2d.
  expect(size(5, { kernelSize: 2, ceilMode: true })).toBe(3);
  expect(size(5, { kernelSize: 2 })).toBe(2);
  expect(size(7, { kernelSize: 4, stride: 3, padding: 2, ceilMode: true })).toBe(3);
  expect(size(6, { kernelSize: 3, stride: 2, ceilMode: true })).toBe(3);
  expect(size(4, { kernelSize: 2, stride: 3, padding: 1, ceilMode: true })).toBe(2);
});

test('the stride is the kernel unless it is given', () => {
  const { attributes } = poolGeometry('test', [1, 1, 20, 20], { kernelSize: [2, 5] }, names);
  expect(attributes).toEqual({
    kernelSize: [2, 5],
    stride: [2, 5],
    padding: [0, 0, 0, 0],
    dilation: [1, 1],
    ceilMode: false,
    outputSize: [10, 4],
  });
});

test('adaptive sizes: a number for both axes, null keeps one', () => {
  expect(adaptiveSize('test', [1, 2, 7, 9], 3)).toEqual([3, 3]);
  expect(adaptiveSize('test', [1, 2, 7, 9], [null, 4])).toEqual([7, 4]);
});
