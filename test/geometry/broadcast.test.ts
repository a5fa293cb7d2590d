import { expect, test } from 'vitest';
import { broadcastShape, broadcastsTo } from '../../lib/geometry/broadcast.js';
import { expectError } from '../ops/helpers.js';

test("NumPy's rules", () => {
  expect(broadcastShape('test', [2, 3], [3])).toEqual([2, 3]);
  expect(broadcastShape('test', [4, 1, 3], [2, 1])).toEqual([4, 2, 3]);
  expect(broadcastShape('test', [], [2])).toEqual([2]);
  expect(broadcastShape('test', [0, 3], [1, 3])).toEqual([0, 3]);
  expectError(() => broadcastShape('test', [0, 3], [2, 3]), 'ERR_SHAPE', /axis 0 is 0 in one and 2 in the other/);
});

test('what repeats to what', () => {
  expect(broadcastsTo([3], [2, 3])).toBe(true);
  expect(broadcastsTo([2, 1], [2, 3])).toBe(true);
  expect(broadcastsTo([2], [2, 3])).toBe(false);
  expect(broadcastsTo([1, 2, 3], [2, 3])).toBe(false);
});
