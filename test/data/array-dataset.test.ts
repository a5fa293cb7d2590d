import { describe, expect, test } from 'vitest';
import { isArrayDataset } from '../../lib/data/dataset.js';
import { fromArrays } from '../../lib/data/from-arrays.js';
import { Tensor, tensor } from '../../lib/tensor.js';
import { expectError } from '../formats/helpers.js';

describe('fromArrays', () => {
  test('nested arrays', () => {
    const set = fromArrays(
      [
        [0, 0],
        [0, 1],
        [1, 0],
      ],
      [0, 1, 1],
    );
    expect(set).toMatchObject({ length: 3, imageShape: [2] });
    expect(set.get(1)).toEqual({ x: new Tensor([2], Float32Array.of(0, 1)), y: 1 });
    expect(isArrayDataset(set)).toBe(true);
    expect(isArrayDataset({ length: 3, get: () => set.get(0) })).toBe(false);
  });

  test('tensors share their memory', () => {
    const x = Tensor.randn([4, 1, 2, 2], { seed: 1 });
    const set = fromArrays(x, tensor([0, 1, 0, 1]));
    expect(set.images).toBe(x.data);
    expect(set.labels).toEqual(Int32Array.of(0, 1, 0, 1));
  });

  test('bytes stay bytes and are normalised when handed over', () => {
    const normalization = { scale: 1 / 255, mean: [0.5, 0], std: [0.5, 2] };
    const set = fromArrays(Uint8Array.of(0, 255, 51, 102), [0], { imageShape: [2, 1, 2], normalization });
    expect(set.images).toBeInstanceOf(Uint8Array);
    const expected = [-1, 1, 0.1, 0.2];
    set.get(0).x.data.forEach((value, i) => {
      expect(value).toBeCloseTo(expected[i] ?? 0, 6);
    });
  });

  test('what does not fit is refused with both sides', () => {
    expectError(() => fromArrays([[1], [2]], [0]), 'ERR_SHAPE', '2 samples', '1 labels');
    expectError(() => fromArrays(new Float32Array(10), [0, 1], { imageShape: [1, 2, 2] }), 'ERR_SHAPE', '10', '8');
    expectError(() => fromArrays(new Float32Array(10), [0, 1]), 'ERR_OPTION', 'imageShape');
    expectError(() => fromArrays([[1], [2]], [0, 1.5]), 'ERR_DATA', 'label 1.5 of sample 1');
    expectError(() => fromArrays([[1], [2]], [0, -1]), 'ERR_DATA', 'label -1 of sample 1');
    expectError(
      () => fromArrays([[1], [2]], [0, 2], { classes: ['a', 'b'] }),
      'ERR_DATA',
      'label 2 of sample 1 is not 0..1 (2 classes)',
    );
  });
});

describe('access', () => {
  const set = fromArrays([[1], [2], [3]], [0, 1, 2], { classes: ['a', 'b', 'c'] });

  test('take shares memory', () => {
    const two = set.take(2);
    expect(two).toMatchObject({ length: 2, classes: ['a', 'b', 'c'] });
    expect(two.images.buffer).toBe(set.images.buffer);
    expect(set.take(9)).toBe(set);
    expectError(() => set.take(0), 'ERR_OPTION', '0');
  });

  test('sample draws without repeating, the same for the same seed', () => {
    const many = fromArrays(
      Array.from({ length: 50 }, (_, i) => [i, -i]),
      Array.from({ length: 50 }, (_, i) => i),
    );
    const some = many.sample(20, 7);
    expect(many.sample(20, 7)).toEqual(some);
    expect(many.sample(20, 8).labels).not.toEqual(some.labels);
    expect(new Set(some.labels).size).toBe(20);
    some.labels.forEach((label, i) => {
      expect([...some.get(i).x.data].map(Math.abs)).toEqual([label, label]);
    });
    expect(many.sample(50, 7)).toBe(many);
  });

  test('an index out of range', () => {
    for (const index of [-1, 3, 0.5, Number.NaN])
      expectError(() => set.get(index), 'ERR_OPTION', `index ${index} is not in 0..2`);
  });
});
