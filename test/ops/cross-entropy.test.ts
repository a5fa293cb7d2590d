import { describe, expect, test } from 'vitest';
import { ops, Tensor, tensor, valueAndGrad, vjp } from '../../lib/index.js';
import type { CrossEntropyOptions } from '../../lib/ops/cross-entropy.js';
import { expectClose, expectError, integers, onBackends } from './helpers.js';

const labels = (...values: number[]) => new Tensor([values.length], Int32Array.from(values));
const logits = tensor([
  [0, Math.log(3)],
  [0, 0],
]);

onBackends(() => {
  test('−log softmax at the label, averaged, summed or neither', () => {
    const each = [Math.log(4 / 3), Math.LN2];
    const sum = each[0]! + each[1]!;
    expectClose(ops.crossEntropy(logits, labels(1, 0)), sum / 2);
    expectClose(ops.crossEntropy(logits, labels(1, 0), { reduction: 'sum' }), sum);
    expectClose(ops.crossEntropy(logits, labels(1, 0), { reduction: 'none' }), each);
  });

  test('equals −logSoftmax picked at the labels', () => {
    const x = integers([5, 7], 3);
    const y = labels(0, 6, 2, 2, 5);
    const log = ops.logSoftmax(x);
    const picked = [0, 6, 2, 2, 5].map((label, n) => -(log.data[n * 7 + label] as number));
    expectClose(ops.crossEntropy(x, y, { reduction: 'none' }), picked);
  });

  test('ignored labels count neither in the sum nor in the divisor', () => {
    expectClose(ops.crossEntropy(logits, labels(-100, 0)), Math.LN2);
    expectClose(ops.crossEntropy(logits, labels(1, 7), { ignoreIndex: 7 }), Math.log(4 / 3));
    expectClose(ops.crossEntropy(logits, labels(1, -100), { reduction: 'none' }), [Math.log(4 / 3), 0]);
    expect(ops.crossEntropy(logits, labels(-100, -100)).item()).toBeNaN();
  });

  test('class weights: the mean divides by their sum', () => {
    const weight = tensor([3, 1]);
    expectClose(ops.crossEntropy(logits, labels(1, 0), { weight }), (Math.log(4 / 3) + 3 * Math.LN2) / 4);
  });

  test('label smoothing spreads ε over all classes', () => {
    // t = (ε/2, 1 − ε/2): −Σ t·log p with p = (1/4, 3/4)
    const loss = 0.1 * Math.log(4) + 0.9 * Math.log(4 / 3);
    expectClose(ops.crossEntropy(logits, labels(1, -100), { labelSmoothing: 0.2 }), loss);
  });

  test('one prediction per pixel: [N, C, H, W] and [N, H, W]', () => {
    const x = integers([2, 3, 2, 2], 1);
    const y = new Tensor([2, 2, 2], Int32Array.of(0, 1, 2, 0, 1, 2, 0, 1));
    expect(ops.crossEntropy(x, y, { reduction: 'none' }).shape).toEqual([2, 2, 2]);
    const log = ops.logSoftmax(x, { dim: 1 });
    let sum = 0;
    y.data.forEach((label: number, i: number) => {
      sum -= log.data[Math.floor(i / 4) * 12 + label * 4 + (i % 4)] as number;
    });
    expectClose(ops.crossEntropy(x, y), sum / 8);
  });

  test('the gradient: (softmax − one-hot) / N, nothing for labels', () => {
    const { value, grads } = valueAndGrad((x, y) => ops.crossEntropy(x, y))(logits, labels(1, 0));
    expect(value.shape).toEqual([]);
    expectClose(grads[0] as Tensor, [
      [0.125, -0.125],
      [-0.25, 0.25],
    ]);
    expect(grads[1]).toBeNull();
  });

  test('the gradient with every option: a numeric derivative', () => {
    const x = integers([3, 4], 2, 'float64');
    const weight = new Tensor([4], Float64Array.of(1, 2, 0.5, 3));
    for (const reduction of ['mean', 'sum'] as const) {
      const options = { weight, labelSmoothing: 0.3, ignoreIndex: 1, reduction };
      const loss = (v: Tensor) => ops.crossEntropy(v, labels(3, 1, 0), options);
      const { pullback } = vjp((v) => ops.crossEntropy(v, labels(3, 1, 0), options), [x]);
      const [dx] = pullback(new Tensor([], Float64Array.of(2))) as [Tensor];
      const numeric = x.clone();
      const h = 1e-5;
      x.data.forEach((_: number, i: number) => {
        const [up, down] = [x.clone(), x.clone()];
        up.data[i]! += h;
        down.data[i]! -= h;
        numeric.data[i] = (2 * (loss(up).item() - loss(down).item())) / (2 * h);
      });
      expectClose(dx, numeric, 1e-8);
    }
  });
});

describe('refuses', () => {
  test('labels out of range, with index, value and range', () => {
    expectError(
      () => ops.crossEntropy(logits, labels(1, 12)),
      'ERR_DATA',
      /^crossEntropy: label 12 at index 1 is outside 0 … 1 \(2 classes, ignoreIndex -100\)$/,
    );
    expectError(() => ops.crossEntropy(logits, labels(-1, 0)), 'ERR_DATA', /label -1 at index 0/);
  });

  test('labels of another type say how to convert', () => {
    const bytes = new Tensor([2], Uint8Array.of(1, 0));
    expectError(
      () => ops.crossEntropy(logits, bytes),
      'ERR_DTYPE',
      /labels must be int32 class numbers, got uint8; new Tensor\(labels\.shape, Int32Array\.from\(labels\.data\)\) converts them/,
    );
    expectError(() => ops.crossEntropy(logits, tensor([1, 0])), 'ERR_DTYPE', /got float32/);
  });

  test('shapes that do not belong together', () => {
    expectError(
      () => ops.crossEntropy(logits, labels(1, 0, 1)),
      'ERR_SHAPE',
      /labels must be \[2\], one per prediction of logits \[2, 2\], got \[3\]/,
    );
    expectError(
      () => ops.crossEntropy(tensor([1, 2]), labels(1)),
      'ERR_SHAPE',
      /logits must be \[N, C\] or \[N, C, \.\.\.\], got \[2\] \(rank 1\)/,
    );
    expectError(() => ops.crossEntropy(Tensor.zeros([0, 2]), labels()), 'ERR_SHAPE', /has an axis without elements/);
    expectError(
      () => ops.crossEntropy(logits, labels(1, 0), { weight: tensor([1, 2, 3]) }),
      'ERR_SHAPE',
      /weight must be \[2\], one per class/,
    );
  });

  test('options out of range', () => {
    const loss = (options: object) => () =>
      ops.crossEntropy(logits, labels(1, 0), options as CrossEntropyOptions<Tensor>);
    expectError(
      loss({ labelSmoothing: 1.5 }),
      'ERR_OPTION',
      /labelSmoothing must be a number between 0 and 1, got 1\.5/,
    );
    expectError(
      loss({ ignoreIndex: Number.NaN }),
      'ERR_OPTION',
      /ignoreIndex must be a whole number of 32 bits, got NaN/,
    );
    expectError(
      loss({ reduction: 'average' }),
      'ERR_OPTION',
      /reduction must be one of 'none', 'mean', 'sum', got 'average'/,
    );
    expectError(loss({ ignore_index: 1 }), 'ERR_OPTION', /unknown option "ignore_index"; did you mean "ignoreIndex"\?/);
  });
});
