import { expect, test } from 'vitest';
import { ops, tensor, vjp } from '../../lib/index.js';
import { expectError, integers } from './helpers.js';

test('joins all axes, or those that are named', () => {
  const x = integers([2, 3, 4, 5]);
  expect(ops.flatten(x).shape).toEqual([120]);
  expect(ops.flatten(x, { startDim: 1 }).shape).toEqual([2, 60]);
  expect(ops.flatten(x, { startDim: 1, endDim: 2 }).shape).toEqual([2, 12, 5]);
  expect(ops.flatten(x, { startDim: -2 }).shape).toEqual([2, 3, 20]);
  expect(ops.flatten(tensor(3)).shape).toEqual([1]);
  expect(ops.flatten(x).data).toBe(x.data);
});

test('the gradient has the shape of x again', () => {
  const { pullback } = vjp((v) => ops.flatten(v), [integers([2, 2])]);
  expect(pullback(tensor([1, 2, 3, 4]))[0]?.toArray()).toEqual([
    [1, 2],
    [3, 4],
  ]);
});

test('refuses axes that are not there or in the wrong order', () => {
  const x = integers([2, 3, 4]);
  expectError(
    () => ops.flatten(x, { startDim: 3 }),
    'ERR_OPTION',
    /startDim must be a whole number between -3 and 2, got 3/,
  );
  expectError(() => ops.flatten(x, { startDim: 2, endDim: 1 }), 'ERR_OPTION', /startDim 2 comes after endDim 1/);
});
