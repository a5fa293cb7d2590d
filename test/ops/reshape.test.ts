import { expect, test } from 'vitest';
import { ops, tensor, vjp } from '../../lib/index.js';
import { apply1 } from '../../lib/ops/operator.js';
import { reshapeOperator } from '../../lib/ops/reshape.js';
import { expectError, integers, onBackends } from './helpers.js';

test('shares the array of a tensor, as PyTorch does', () => {
  const x = integers([2, 6]);
  const y = ops.reshape(x, [3, -1]);
  expect(y.shape).toEqual([3, 4]);
  expect(y.data).toBe(x.data);
});

onBackends(() => {
  test('as an operator it copies element by element', () => {
    const x = integers([2, 3, 4, 5]);
    const y = apply1(reshapeOperator, [x], { shape: [6, 20] }) as typeof x;
    expect(y.shape).toEqual([6, 20]);
    expect(y.data).toEqual(x.data);
  });

  test('the gradient has the shape of x again', () => {
    const { pullback } = vjp((v) => ops.reshape(v, [6]), [integers([2, 3])]);
    expect(pullback(tensor([1, 2, 3, 4, 5, 6]))[0]?.toArray()).toEqual([
      [1, 2, 3],
      [4, 5, 6],
    ]);
  });
});

test('refuses other sizes and shapes that are none', () => {
  expectError(() => ops.reshape(integers([2, 3]), [4]), 'ERR_SHAPE', /\[2, 3\] has 6 elements, \[4\] cannot hold them/);
  expectError(() => ops.reshape(integers([2, 3]), [-1, -1]), 'ERR_SHAPE', /\[-1, -1\]/);
  expectError(() => ops.reshape(integers([2, 3]), [-2, -3]), 'ERR_OPTION', /got \[-2, -3\]/);
  expectError(() => ops.reshape(integers([2, 3]), [1.5, 4]), 'ERR_OPTION', /got \[1\.5, 4\]/);
});
