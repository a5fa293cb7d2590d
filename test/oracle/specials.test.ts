import { describe, expect, test } from 'vitest';
import type { Attributes, Spec } from '../../lib/backend/backend.js';
import { findNative } from '../../lib/backend/native.js';
import { Random } from '../../lib/random.js';
import { Tensor, tensor } from '../../lib/tensor.js';
import { type Call, runReference } from '../helpers/reference.js';
import { runGuarded } from '../helpers/run.js';

// Numbers that are none, too large, or equal: what becomes of them is part of what an operator means. Expected by hand
// (PyTorch's answers), on both backends, blocked and plain.

const { backend: native, reason } = findNative();
const nan = Number.NaN;
const inf = Number.POSITIVE_INFINITY;

function outputsOf(call: Call): (Tensor | null)[][] {
  const found = [runReference(call)];
  if (!native || native.info.problem) return found;
  for (const layout of ['plain', 'blocked'] as const) {
    const { outputs, damage } = runGuarded(native, call, { threads: 2, layout, keeps: true });
    expect(damage).toEqual([]);
    found.push([...outputs]);
  }
  return found;
}

const float = (shape: readonly number[]): Spec => ({ shape, dtype: 'float32' });

function expectAll(call: Call, ...expected: number[][]): void {
  for (const outputs of outputsOf(call)) {
    expected.forEach((values, i) => {
      // Zeros of either sign are equal; NaN equals NaN.
      expect([...(outputs[i]?.data ?? [])].map((v) => v + 0)).toEqual(values.map((v) => Math.fround(v) + 0));
    });
  }
}

if (reason) test.skip(`on native (skipped: ${reason})`);

describe('relu', () => {
  const x = tensor([[[[nan, -inf, inf, -0, 1e38]]]]);
  test('NaN stays NaN', () => {
    expectAll({ operator: 'relu', inputs: [x], outputs: [float(x.shape)], attributes: {} }, [nan, 0, inf, 0, 1e38]);
  });
  test('the gradient at 0 is 0', () => {
    const dy = tensor([[[[1, 2, 3, 4, 5]]]]);
    const y = tensor([[[[0, 1, -0, 2, inf]]]]);
    expectAll(
      { operator: 'reluBackward', inputs: [dy, y], outputs: [float(y.shape)], attributes: {} },
      [0, 2, 0, 4, 5],
    );
  });
  test('fused into a convolution and a linear layer', () => {
    const conv = {
      ...{ stride: [1, 1], padding: [0, 0, 0, 0], dilation: [1, 1], groups: 1 },
      ...{ paddingMode: 'zeros', flipKernel: false, activation: 'relu' },
    };
    const expected = [nan, 0, inf, 0, 1e38];
    // Sixteen filters: the lanes of a block that have none hold 0·∞.
    const inputs = [x, Tensor.ones([16, 1, 1, 1]), null];
    const all = Array.from({ length: 16 }, () => expected).flat();
    expectAll({ operator: 'conv2d', inputs, outputs: [float([1, 16, 1, 5])], attributes: conv }, all);
    const rows = x.reshape([5, 1]);
    const attributes = { activation: 'relu' };
    expectAll(
      { operator: 'linear', inputs: [rows, tensor([[1]]), null], outputs: [float([5, 1])], attributes },
      expected,
    );
  });
});

describe('zero padding times an infinite weight adds nothing', () => {
  // [N, C, H, W], K, kernel, stride, padding, dilation, groups
  const cases: [number[], number, number, number, number, number, number][] = [
    [[2, 20, 6, 6], 24, 3, 1, 1, 1, 1],
    [[1, 33, 9, 13], 40, 5, 1, 2, 1, 1],
    [[1, 64, 12, 12], 64, 3, 1, 1, 1, 1],
    [[2, 32, 15, 14], 48, 3, 2, 1, 1, 1],
    [[1, 16, 11, 30], 32, 3, 1, 2, 2, 1],
    [[1, 3, 23, 21], 16, 7, 2, 3, 1, 1],
    [[3, 32, 7, 7], 32, 3, 1, 1, 1, 32],
    [[2, 64, 7, 7], 64, 3, 1, 1, 1, 2],
    [[1, 16, 1, 40], 16, 5, 1, 4, 2, 1],
    [[1, 17, 40, 36], 33, 5, 1, 2, 1, 1], // in bands, which share the packed weights
  ];
  const whole = (shape: readonly number[], seed: number) =>
    new Tensor(
      shape,
      Float32Array.from(Tensor.randn(shape, { seed }).data, (v) => Math.round(v)),
    );
  for (const [x, k, size, stride, padding, dilation, groups] of cases) {
    const [n = 1, c = 1, h = 1, w = 1] = x;
    const along = (length: number) => Math.floor((length + 2 * padding - dilation * (size - 1) - 1) / stride) + 1;
    const y = [n, k, along(h), along(w)];
    const weight = whole([k, c / groups, size, size], 1);
    const every = size * size;
    for (const [i, value] of [inf, -inf, nan].entries()) weight.data[i * 3 * every + ((i * 2) % every)] = value;
    const attributes = {
      ...{ stride: [stride, stride], padding: Array(4).fill(padding), dilation: [dilation, dilation], groups },
      ...{ paddingMode: 'zeros', flipKernel: false },
    };
    const name = `[${x}] to ${k}, ${size}x${size}, stride ${stride}, dilation ${dilation}, groups ${groups}`;
    const calls: Call[] = [
      {
        ...{ operator: 'conv2d', inputs: [whole(x, 2), weight, null], outputs: [float(y)] },
        attributes: { ...attributes, activation: 'none' },
      },
      {
        ...{ operator: 'conv2dGradInput', inputs: [whole(y, 3), weight], outputs: [float(x)] },
        attributes: { ...attributes, inputShape: x },
      },
    ];
    for (const call of calls) {
      test(`${call.operator} ${name}`, () => {
        const [expected, ...others] = outputsOf(call).map(([out]) => [...(out?.data ?? [])].map((v) => v + 0));
        for (const found of others) expect(found).toEqual(expected);
      });
    }
  }
});

describe('maxPool2d', () => {
  const pool = (x: Tensor, attributes: Attributes, ...expected: number[][]) => {
    const shape = [1, 1, 1, 1];
    const outputs: Spec[] = [float(shape), { shape, dtype: 'uint8' }];
    const common = { stride: [2, 2], padding: [0, 0, 0, 0], dilation: [1, 1], ceilMode: false, outputSize: [1, 1] };
    expectAll(
      { operator: 'maxPool2d', inputs: [x], outputs, attributes: { ...common, kernelSize: [2, 2], ...attributes } },
      ...expected,
    );
  };
  test('NaN wins', () =>
    pool(
      tensor([
        [
          [
            [5, 1],
            [nan, 7],
          ],
        ],
      ]),
      {},
      [nan],
      [2],
    ));
  test('the first of equal maxima', () =>
    pool(
      tensor([
        [
          [
            [1, 3],
            [3, 3],
          ],
        ],
      ]),
      {},
      [3],
      [1],
    ));
  test('−∞ everywhere: the first element, not the padding', () => {
    const x = tensor([
      [
        [
          [-inf, -inf],
          [-inf, -inf],
        ],
      ],
    ]);
    pool(x, {}, [-inf], [0]);
    pool(x, { kernelSize: [3, 3], padding: [1, 1, 1, 1], stride: [3, 3] }, [-inf], [4]);
  });
  test('padding is −∞, not 0', () => {
    pool(
      tensor([
        [
          [
            [-5, -6],
            [-7, -8],
          ],
        ],
      ]),
      { kernelSize: [3, 3], padding: [1, 1, 1, 1], stride: [3, 3] },
      [-5],
      [4],
    );
  });
  test.each([
    [2, 2, 0],
    [3, 2, 1],
    [3, 1, 0],
  ])('%i×%i of stride %i: the same maxima whether or not their places are wanted', (kernel, stride, pad) => {
    const odd = [nan, -inf, inf, 0, -0, 3e38, -3e38];
    const random = new Random(kernel + stride);
    const [h, w] = [13, 11];
    const data = Float32Array.from({ length: 2 * 20 * h * w }, () => {
      return random.uniform() < 0.1 ? (odd[random.integer(odd.length)] as number) : random.integer(5) - 2;
    });
    const out = (size: number) => Math.floor((size + 2 * pad - kernel) / stride) + 1;
    const shape = [2, 20, out(h), out(w)];
    const attributes = {
      kernelSize: [kernel, kernel],
      stride: [stride, stride],
      padding: [pad, pad, pad, pad],
      dilation: [1, 1],
      ceilMode: false,
      outputSize: shape.slice(2),
    };
    const maxima = [{ shape, dtype: 'uint8' } as const, null].flatMap((places) => {
      const call = { operator: 'maxPool2d', inputs: [new Tensor([2, 20, h, w], data)], attributes };
      return outputsOf({ ...call, outputs: [float(shape), places] }).map(([y]) => [...(y?.data ?? [])]);
    });
    for (const found of maxima) expect(found).toEqual(maxima[0]); // which tells −0 from 0
    expect(maxima[0]?.some(Number.isNaN)).toBe(true);
  });
});

describe('softmax and crossEntropy', () => {
  test('large logits do not overflow', () => {
    const x = tensor([
      [1e30, -1e30, 0],
      [3e38, 3e38, -3e38],
      [-inf, 0, -inf],
    ]);
    const y = { operator: 'softmax', inputs: [x], outputs: [float([3, 3])], attributes: { dim: 1 } };
    expectAll(y, [1, 0, 0, 0.5, 0.5, 0, 0, 1, 0]);
    const logits = tensor([
      [1e30, -1e30, 0],
      [3e38, 3e38, -3e38],
      [-inf, 0, -inf],
    ]);
    const labels = tensor(Int32Array.from([0, 1, 1]));
    const attributes = { ignoreIndex: -100, labelSmoothing: 0, reduction: 'none' };
    const loss = { operator: 'crossEntropy', inputs: [logits, labels, null], outputs: [float([3])], attributes };
    for (const [out] of outputsOf(loss)) {
      const [first, second, third] = [...(out?.data ?? [])];
      expect([first, third]).toEqual([0, 0]);
      expect(second).toBeCloseTo(Math.log(2), 6);
    }
  });
  test('nothing but ignored labels: the mean is NaN, its gradient 0', () => {
    const x = tensor([
      [1, 2],
      [3, 4],
    ]);
    const labels = tensor(Int32Array.from([-100, -100]));
    const attributes = { ignoreIndex: -100, labelSmoothing: 0, reduction: 'mean' };
    expectAll({ operator: 'crossEntropy', inputs: [x, labels, null], outputs: [float([])], attributes }, [nan]);
    const inputs = [tensor(1), x, labels, null];
    expectAll({ operator: 'crossEntropyBackward', inputs, outputs: [float([2, 2])], attributes }, [0, 0, 0, 0]);
  });
});

test('dropout keeps NaN and ∞ where it keeps, and gives 0 where it drops', () => {
  const x = Tensor.full([1, 1, 8, 8], inf);
  const call = { operator: 'dropout', inputs: [x], outputs: [float(x.shape)], attributes: { p: 0.5, seed: 3 } };
  for (const [y] of outputsOf(call)) expect([...(y?.data ?? [])].every((v) => v === inf || v === 0)).toBe(true);
});

test('batchNorm of a constant channel: 0, and bias', () => {
  const x = Tensor.full([2, 1, 4, 4], 1e4);
  const inputs = [x, tensor([3]), tensor([0.5]), null, null, null];
  const outputs = [float(x.shape), float([1]), float([1]), null, null];
  const attributes = { eps: 1e-5, momentum: 0.1, activation: 'none' };
  for (const [y] of outputsOf({ operator: 'batchNormTrain', inputs, outputs, attributes })) {
    expect([...(y?.data ?? [])].every((v) => v === 0.5)).toBe(true);
  }
});

test('batchNorm of values far from 0 keeps its digits', () => {
  // Mean 10^4, deviation 1: a sum of squares in float32 would lose everything.
  const data = Float32Array.from({ length: 4 * 64 }, (_, i) => 1e4 + (i % 2 === 0 ? 1 : -1));
  const x = new Tensor([4, 1, 8, 8], data);
  const inputs = [x, null, null, null, null, null];
  const outputs = [float(x.shape), float([1]), float([1]), null, null];
  const attributes = { eps: 0, momentum: 0.1, activation: 'none' };
  for (const [y, mean, invStd] of outputsOf({ operator: 'batchNormTrain', inputs, outputs, attributes })) {
    expect(mean?.data[0]).toBe(1e4);
    expect(invStd?.data[0]).toBeCloseTo(1, 6);
    for (const [i, v] of [...(y?.data ?? [])].entries()) expect(v).toBeCloseTo(i % 2 === 0 ? 1 : -1, 6);
  }
});
