import { expect, test } from 'vitest';
import { ops, tensor, vjp } from '../../lib/index.js';
import { expectError, integers, onBackends } from './helpers.js';

onBackends(() => {
  test('subtracts element by element, broadcasting', () => {
    expect(ops.sub(tensor([[2], [3]]), tensor([1, 10])).toArray()).toEqual([
      [1, -8],
      [2, -7],
    ]);
  });

  test('∂a = dy and ∂b = −dy, summed over repetitions', () => {
    const { pullback } = vjp(ops.sub, [tensor([[2], [3]]), tensor([1, 10])]);
    const [da, db] = pullback(
      tensor([
        [1, 2],
        [3, 4],
      ]),
    );
    expect(da?.toArray()).toEqual([[3], [7]]);
    expect(db?.toArray()).toEqual([-4, -6]);
  });
});

test('refuses shapes that do not broadcast', () => {
  expectError(() => ops.sub(integers([4, 3]), integers([4])), 'ERR_SHAPE', /\[4, 3\] and \[4\] do not broadcast/);
});
