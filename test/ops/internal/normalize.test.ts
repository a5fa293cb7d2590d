import { test } from 'vitest';
import { Tensor, tensor } from '../../../lib/index.js';
import { normalize } from '../../../lib/ops/internal/normalize.js';
import { expectClose, expectError, integers, onBackends } from '../helpers.js';

onBackends(() => {
  test('y = (x·scale − mean[c]) / std[c], from bytes and from floats', () => {
    const bytes = Uint8Array.of(0, 255, 51, 102);
    const expected = [
      [
        [-1, 1],
        [0.1, 0.2],
      ],
    ];
    const [mean, std] = [tensor([0.5, 0]), tensor([0.5, 2])];
    expectClose(normalize(new Tensor([1, 2, 2], bytes), mean, std, { scale: 1 / 255 }), expected);
    expectClose(normalize(new Tensor([1, 2, 2], Float32Array.from(bytes)), mean, std, { scale: 1 / 255 }), expected);
  });
});

test('refuses other types', () => {
  expectError(() => normalize(integers([1, 2], 1, 'int32')), 'ERR_DTYPE', /images must be uint8 or float32, got int32/);
});
