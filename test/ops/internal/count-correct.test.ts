import { expect, test } from 'vitest';
import { Tensor, tensor } from '../../../lib/index.js';
import { countCorrect } from '../../../lib/ops/internal/count-correct.js';
import { expectError, integers, onBackends } from '../helpers.js';

const labels = (...values: number[]) => new Tensor([values.length], Int32Array.from(values));

onBackends(() => {
  test('counts rows whose first maximum stands at the label', () => {
    const logits = tensor([
      [1, 3, 2],
      [5, 5, 0],
      [5, 5, 0],
      [-3, -2, -1],
    ]);
    const count = countCorrect(logits, labels(1, 0, 1, 2)) as Tensor;
    expect([count.item(), count.dtype, count.shape]).toEqual([3, 'int32', []]);
  });
});

test('refuses shapes and types that do not belong together', () => {
  expectError(() => countCorrect(integers([2, 3]), labels(1)), 'ERR_SHAPE', /labels must be \[2\]/);
  expectError(() => countCorrect(integers([2, 3]), tensor([1, 2])), 'ERR_DTYPE', /labels must be int32/);
});
