import { expect, test } from 'vitest';
import { ops, vjp } from '../../lib/index.js';
import { dot, expectError, integers, onBackends } from './helpers.js';

onBackends(() => {
  test('sums the axes that broadcasting would repeat', () => {
    const x = integers([2, 3, 4]);
    expect(ops.sumTo(x, [3, 1])).toEqual(ops.reshape(ops.sum(x, { dims: [0, 2] }), [3, 1]));
    expect(ops.sumTo(x, []).item()).toBe(ops.sum(x).item());
    expect(ops.sumTo(x, x.shape)).toBe(x);
  });

  test('⟨sumTo(x), dy⟩ = ⟨x, pullback(dy)⟩', () => {
    const [x, dy] = [integers([2, 3, 4], 1), integers([3, 1], 2)];
    const { value, pullback } = vjp((v) => ops.sumTo(v, [3, 1]), [x]);
    const [dx] = pullback(dy);
    expect(dot(value, dy)).toBe(dot(x, dx as typeof x));
  });
});

test('refuses a shape that does not broadcast to that of x', () => {
  expectError(() => ops.sumTo(integers([2, 3]), [2]), 'ERR_SHAPE', /\[2\] does not broadcast to \[2, 3\]/);
  expectError(
    () => ops.sumTo(integers([2, 3]), JSON.parse('"all"')),
    'ERR_OPTION',
    /shape must be a list of numbers, got 'all'/,
  );
});
