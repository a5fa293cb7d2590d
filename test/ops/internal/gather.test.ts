import { describe, expect, test } from 'vitest';
import { Tensor, tensor } from '../../../lib/index.js';
import { gather, gatherLabels } from '../../../lib/ops/internal/gather.js';
import { expectClose, expectError, integers, onBackends } from '../helpers.js';

const indices = (...values: number[]) => new Tensor([values.length], Int32Array.from(values));
const images = new Tensor([3, 2, 1, 2], Uint8Array.of(0, 51, 102, 153, 204, 255, 0, 255, 10, 20, 30, 40));

onBackends(() => {
  test('picks samples, scales and normalises them per channel', () => {
    const x = gather(images, indices(1, 0, 1), tensor([0.5, 0]), tensor([0.5, 2]), { scale: 1 / 255 });
    const first = [[[0.6, 1]], [[0, 0.5]]];
    expectClose(x, [first, [[[-1, -0.6]], [[0.2, 0.3]]], first]);
  });

  test('without mean, std and scale the numbers stay', () => {
    expect(gather(images, indices(2))).toEqual(new Tensor([1, 2, 1, 2], Float32Array.of(10, 20, 30, 40)));
    const floats = integers([4, 3], 1);
    expect(gather(floats, indices(3))).toEqual(new Tensor([1, 3], floats.data.slice(9) as Float32Array));
  });

  test('labels are picked alike', () => {
    expect(gatherLabels(indices(7, 8, 9), indices(2, 0, 2))).toEqual(indices(9, 7, 9));
  });

  test('indices out of range', () => {
    expectError(() => gather(images, indices(0, 3)), 'ERR_DATA', /3/);
    expectError(() => gatherLabels(indices(7, 8), indices(-1)), 'ERR_DATA', /-1/);
  });
});

describe('refuses', () => {
  test('other types and shapes', () => {
    expectError(() => gather(images, tensor([0])), 'ERR_DTYPE', /indices must be int32, got float32/);
    expectError(
      () => gather(integers([2, 2], 1, 'float64'), indices(0)),
      'ERR_DTYPE',
      /images must be uint8 or float32, got float64/,
    );
    expectError(
      () => gather(images, indices(0), tensor([1, 2, 3])),
      'ERR_SHAPE',
      /mean must be \[2\], one per channel/,
    );
    expectError(() => gather(images, indices(0), null, null, { scale: 0 }), 'ERR_OPTION', /scale/);
    expectError(() => gatherLabels(tensor([1]), indices(0)), 'ERR_DTYPE', /labels must be int32/);
  });
});
