import { test } from 'vitest';
import { ops, tensor, vjp } from '../../lib/index.js';
import { expectClose, expectError, onBackends } from './helpers.js';

const x = tensor([
  [1, 2, 3],
  [4, 5, 9],
]);

onBackends(() => {
  test('divides the sum by the number of elements', () => {
    expectClose(ops.mean(x), 4);
    expectClose(ops.mean(x, { dims: 1 }), [2, 6]);
    expectClose(ops.mean(x, { dims: 0, keepDims: true }), [[2.5, 3.5, 6]]);
  });

  test('each element takes its share of the gradient', () => {
    const { pullback } = vjp((v) => ops.mean(v, { dims: 1 }), [x]);
    expectClose(pullback(tensor([3, 6]))[0] as typeof x, [
      [1, 1, 1],
      [2, 2, 2],
    ]);
  });
});

test('refuses axes that are not there', () => {
  expectError(
    () => ops.mean(x, { dims: -3 }),
    'ERR_OPTION',
    /mean: dims must be a whole number between -2 and 1, got -3/,
  );
});
