import { describe, expect, test } from 'vitest';
import { ops, Tensor, vjp } from '../../lib/index.js';
import { philox } from '../../lib/random.js';
import { expectError, integers, onBackends } from './helpers.js';

onBackends(() => {
  test('elements are 0 or divided by 1 − p, as often as p says', () => {
    const y = ops.dropout(Tensor.ones([10000]), { p: 0.25, seed: 7 });
    const kept = Array.from(y.data).reduce((sum: number, v: number) => sum + (v === 0 ? 0 : 1), 0);
    expect(new Set(y.data)).toEqual(new Set([0, Math.fround(1 / 0.75)]));
    // 5 standard deviations: √(n·p·q) = 43
    expect(Math.abs(kept - 7500)).toBeLessThan(217);
  });

  test('element i takes word i mod 4 of Philox(counter ⌊i/4⌋, key seed)', () => {
    const y = ops.dropout(Tensor.ones([2, 3, 1, 5]), { p: 0.5, seed: 2 ** 33 + 5 });
    const expected = Array.from({ length: 30 }, (_, i) => {
      const word = philox([Math.floor(i / 4), 0, 0, 0], [5, 2])[i % 4] as number;
      return word * 2 ** -32 >= 0.5 ? 2 : 0;
    });
    expect([...y.data]).toEqual(expected);
  });

  test('the same seed gives the same mask, another seed another', () => {
    const x = integers([100], 1);
    expect(ops.dropout(x, { seed: 3 })).toEqual(ops.dropout(x, { seed: 3 }));
    expect(ops.dropout(x, { seed: 3 })).not.toEqual(ops.dropout(x, { seed: 4 }));
  });

  test('the gradient is dropped where the value was', () => {
    const { value, pullback } = vjp((v) => ops.dropout(v, { p: 0.5, seed: 9 }), [Tensor.ones([50])]);
    expect(pullback(Tensor.ones([50]))[0]).toEqual(value);
  });

  test('p = 1 leaves zeros', () => {
    expect(ops.dropout(Tensor.ones([9]), { p: 1 }).data).toEqual(new Float32Array(9));
  });
});

test('p = 0 or training false: x itself', () => {
  const x = integers([5]);
  expect(ops.dropout(x, { p: 0 })).toBe(x);
  expect(ops.dropout(x, { training: false })).toBe(x);
});

describe('refuses', () => {
  test('probabilities and seeds that are none', () => {
    const x = integers([5]);
    for (const p of [-0.1, 1.1, Number.NaN])
      expectError(() => ops.dropout(x, { p }), 'ERR_OPTION', /p must be a number between 0 and 1, got/);
    for (const seed of [-1, 0.5, Number.NaN, 2 ** 53])
      expectError(() => ops.dropout(x, { seed }), 'ERR_OPTION', /seed must be a whole number between 0 and 2\^53 − 1/);
  });
});
