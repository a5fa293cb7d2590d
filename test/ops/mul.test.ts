import { expect, test } from 'vitest';
import { ops, tensor, vjp } from '../../lib/index.js';
import { expectError, integers, onBackends } from './helpers.js';

onBackends(() => {
  test('multiplies element by element, broadcasting', () => {
    expect(ops.mul(tensor([[2], [3]]), tensor([1, 10])).toArray()).toEqual([
      [2, 20],
      [3, 30],
    ]);
  });

  test('∂a = dy·b and ∂b = dy·a, summed over repetitions', () => {
    const { pullback } = vjp(ops.mul, [tensor([[2], [3]]), tensor([1, 10])]);
    const [da, db] = pullback(
      tensor([
        [1, 1],
        [1, 2],
      ]),
    );
    expect(da?.toArray()).toEqual([[11], [21]]);
    expect(db?.toArray()).toEqual([5, 8]);
  });
});

test('refuses shapes that do not broadcast', () => {
  expectError(() => ops.mul(integers([4, 3]), integers([4])), 'ERR_SHAPE', /\[4, 3\] and \[4\] do not broadcast/);
});
