import { expect, test } from 'vitest';
import { ops, Tensor, tensor, vjp } from '../../lib/index.js';
import { expectError, integers, onBackends } from './helpers.js';

const x = tensor([
  [1, 2, 3],
  [4, 5, 6],
]);

onBackends(() => {
  test('sums everything, or the axes that are named', () => {
    expect(ops.sum(x).item()).toBe(21);
    expect(ops.sum(x, { dims: 0 }).toArray()).toEqual([5, 7, 9]);
    expect(ops.sum(x, { dims: -1 }).toArray()).toEqual([6, 15]);
    expect(ops.sum(x, { dims: [1], keepDims: true }).toArray()).toEqual([[6], [15]]);
    expect(ops.sum(integers([2, 3, 4]), { dims: [0, 2] }).shape).toEqual([3]);
  });

  test('no axes: x itself', () => {
    expect(ops.sum(x, { dims: [] }).toArray()).toEqual(x.toArray());
  });

  test('a sum over nothing is 0', () => {
    expect(ops.sum(Tensor.zeros([2, 0]), { dims: 1 }).toArray()).toEqual([0, 0]);
    expect(ops.sum(Tensor.zeros([0, 3])).item()).toBe(0);
  });

  test('the gradient reaches every element', () => {
    const { pullback } = vjp((v) => ops.sum(v, { dims: 1 }), [x]);
    expect(pullback(tensor([10, 20]))[0]?.toArray()).toEqual([
      [10, 10, 10],
      [20, 20, 20],
    ]);
  });
});

test('refuses axes that are not there', () => {
  expectError(() => ops.sum(x, { dims: 2 }), 'ERR_OPTION', /dims must be a whole number between -2 and 1, got 2/);
  expectError(() => ops.sum(x, { dims: [0.5] }), 'ERR_OPTION', /got 0\.5/);
  expectError(() => ops.sum(Tensor.zeros([2], 'int32')), 'ERR_DTYPE', /int32/);
});
