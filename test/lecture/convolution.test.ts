import { describe, expect, test } from 'vitest';
import { unreadWarnings } from '../../lib/geometry/window.js';
import { nn, ops, type Tensor, tensor } from '../../lib/index.js';
import { expectClose, expectError, integers, onBackends } from '../ops/helpers.js';

// What every lecture on convolutional networks teaches, each with its formula.

/** [H, W] → [1, 1, H, W] */
const image = (x: Tensor): Tensor => x.reshape([1, 1, ...x.shape]);
/** [1, 1, H, W] → [H, W] */
const plane = (x: Tensor): Tensor => x.reshape(x.shape.slice(2));

/** The kernel rotated by 180°: k′[r, s] = k[R − 1 − r, S − 1 − s] */
function rotated(kernel: Tensor): Tensor {
  const copy = kernel.clone();
  copy.data.reverse();
  return copy;
}

const count = (parameters: Iterable<Tensor>): number => [...parameters].reduce((sum, p) => sum + p.size, 0);

describe('parameters', () => {
  test('a linear layer from M to N features has M·N + N', () => {
    const [M, N] = [12, 7];
    expect(count(new nn.Linear(M, N).parameters())).toBe(M * N + N);
  });

  test('4 kernels of 3×3 over 3 channels have (3·3·3 + 1)·4 = 112', () => {
    expect(count(new nn.Conv2d(3, 4, 3).parameters())).toBe((3 * 3 * 3 + 1) * 4);
    expect((3 * 3 * 3 + 1) * 4).toBe(112);
  });

  test('a convolution has as many at any image size: weights are shared', () => {
    const conv = new nn.Conv2d(1, 2, 3);
    for (const n of [3, 8, 13]) expect(conv.forward(integers([1, 1, n, n])).shape).toEqual([1, 2, n - 2, n - 2]);
    expect(count(conv.parameters())).toBe((3 * 3 * 1 + 1) * 2);
  });
});

describe('output sizes', () => {
  test('valid: (H − k₁ + 1) × (W − k₂ + 1)', () => {
    const [H, W, k1, k2] = [9, 7, 4, 2];
    const y = ops.conv2d(integers([1, 1, H, W]), integers([1, 1, k1, k2]), null, { padding: 'valid' });
    expect(y.shape).toEqual([1, 1, H - k1 + 1, W - k2 + 1]);
  });

  test('full: (H + k₁ − 1) × (W + k₂ − 1)', () => {
    const [H, W, k1, k2] = [5, 6, 3, 2];
    expect(ops.convolve(integers([H, W]), integers([k1, k2])).shape).toEqual([H + k1 - 1, W + k2 - 1]);
  });

  test('with padding and stride: ⌊(H + 2P − k) / s⌋ + 1', () => {
    for (const [H, k, P, s] of [
      [5, 3, 0, 1],
      [5, 3, 1, 2],
      [7, 3, 0, 2],
      [8, 5, 2, 3],
      [224, 7, 3, 2],
      [4, 4, 0, 4],
    ] as const) {
      const y = ops.conv2d(integers([1, 1, H, H]), integers([1, 1, k, k]), null, { padding: P, stride: s });
      expect(y.shape).toEqual([1, 1, Math.floor((H + 2 * P - k) / s) + 1, Math.floor((H + 2 * P - k) / s) + 1]);
    }
  });

  test('same: ⌈H / s⌉ at any stride', () => {
    for (const [H, k, s] of [
      [5, 3, 1],
      [6, 3, 2],
      [7, 2, 3],
      [5, 1, 4],
    ] as const) {
      const y = ops.conv2d(integers([1, 1, H, H]), integers([1, 1, k, k]), null, { padding: 'same', stride: s });
      expect(y.shape).toEqual([1, 1, Math.ceil(H / s), Math.ceil(H / s)]);
    }
  });

  test('stride 3 on 5×5 with a 3×3 kernel leaves pixels unread, and that is reported', () => {
    const [x, w] = [integers([1, 1, 5, 5]), integers([1, 1, 3, 3])];
    // Columns 0, 1, 2 are read; (5 − 3) / 3 is not whole, so columns 3 and 4 never are.
    expect(ops.conv2d(x, w, null, { stride: 3 }).shape).toEqual([1, 1, 1, 1]);
    const axis = { size: 5, kernel: 3, stride: 3, dilation: 1, before: 0, after: 0 };
    expect(unreadWarnings([axis, axis])).toEqual([
      'stride 3 leaves 2 of 5 rows unread: (5 + 2·0 − 3) / 3 is not whole',
      'stride 3 leaves 2 of 5 columns unread: (5 + 2·0 − 3) / 3 is not whole',
    ]);
    const strict = () => ops.conv2d(x, w, null, { stride: 3, strictStride: true });
    expectError(strict, 'ERR_OPTION', /stride 3 leaves 2 of 5 columns unread: \(5 \+ 2·0 − 3\) \/ 3 is not whole$/);
    // What is said to be unread has no gradient.
    const { gradInput } = ops.conv2dBackward(integers([1, 1, 1, 1], 3), x, w, { stride: 3 });
    const touched = Array.from(gradInput.data).reduce(
      (sum: number, v: number, i: number) => sum + (i % 5 > 2 || i > 14 ? Math.abs(v) : 0),
      0,
    );
    expect(touched).toBe(0);
  });
});

onBackends(() => {
  test('X = [[200,150,150],[100,50,100],[25,25,10]] against K′ = [[1,0,−1],[2,0,−2],[1,0,−1]] is 65, plus bias', () => {
    const X = tensor([
      [200, 150, 150],
      [100, 50, 100],
      [25, 25, 10],
    ]);
    const K = tensor([
      [1, 0, -1],
      [2, 0, -2],
      [1, 0, -1],
    ]);
    // 200 − 150 + 2·100 − 2·100 + 25 − 10 = 65
    expect(ops.conv2d(image(X), image(K)).item()).toBe(65);
    expect(ops.conv2d(image(X), image(K), tensor([7])).item()).toBe(65 + 7);
    expect(ops.correlate(X, K, { mode: 'valid' }).item()).toBe(65);
  });

  test('convolution is correlation with the kernel rotated by 180°: f ⊗ k = f ⋆ k′', () => {
    const [f, k] = [integers([7, 6], 5), integers([3, 2], 8)];
    for (const mode of ['full', 'same', 'valid'] as const) {
      expect(ops.convolve(f, k, { mode })).toEqual(ops.correlate(f, rotated(k), { mode }));
      const padding = mode;
      expect(ops.conv2d(image(f), image(k), null, { padding, flipKernel: true })).toEqual(
        ops.conv2d(image(f), image(rotated(k)), null, { padding }),
      );
    }
  });

  test('the full convolution is commutative: f ⊗ g = g ⊗ f', () => {
    const [f, g] = [integers([5, 4], 1), integers([3, 6], 2)];
    expect(ops.convolve(f, g)).toEqual(ops.convolve(g, f));
    expect(ops.correlate(f, g)).not.toEqual(ops.correlate(g, f));
  });

  test('the full convolution is associative: F ⊗ (G ⊗ I) = (F ⊗ G) ⊗ I; correlation is not', () => {
    for (const rank of [1, 2]) {
      const [F, G, I] = [
        integers([3, 3].slice(0, rank), 1),
        integers([2, 4].slice(0, rank), 2),
        integers([6, 5].slice(0, rank), 3),
      ];
      expect(ops.convolve(F, ops.convolve(G, I))).toEqual(ops.convolve(ops.convolve(F, G), I));
      expect(ops.correlate(F, ops.correlate(G, I))).not.toEqual(ops.correlate(ops.correlate(F, G), I));
    }
  });

  test('∂L/∂k is the correlation of the input with the upstream gradient: ∂L/∂k = x ⋆ ∂L/∂y', () => {
    const [x, k, dy] = [integers([6, 5], 1), integers([3, 2], 2), integers([4, 4], 3)];
    const { gradWeight } = ops.conv2dBackward(image(dy), image(x), image(k));
    expect(plane(gradWeight)).toEqual(ops.correlate(x, dy, { mode: 'valid' }));
  });

  test('∂L/∂x is the full convolution of the upstream gradient with the kernel: ∂L/∂x = ∂L/∂y ⊗ k', () => {
    const [x, k, dy] = [integers([6, 5], 1), integers([3, 2], 2), integers([4, 4], 3)];
    const { gradInput } = ops.conv2dBackward(image(dy), image(x), image(k));
    expect(plane(gradInput)).toEqual(ops.convolve(dy, k, { mode: 'full' }));
  });

  test('∂L/∂b is the sum of the upstream gradient', () => {
    const dy = integers([2, 3, 4, 4], 3);
    const { gradBias } = ops.conv2dBackward(dy, integers([2, 1, 5, 5]), integers([3, 1, 2, 2]));
    expect(gradBias).toEqual(ops.sum(dy, { dims: [0, 2, 3] }));
  });

  test('all of them equal im2col + GEMM: y = W·X, ∂W = ∂y·Xᵀ, ∂x = col2im(Wᵀ·∂y)', () => {
    const options = { stride: [2, 1], padding: [1, 2], dilation: [1, 2] } as const;
    const [x, w] = [integers([2, 3, 7, 6], 1), integers([4, 3, 3, 2], 2)];
    const y = ops.conv2d(x, w, null, options);
    const dy = integers(y.shape, 3);
    const [N, K, P, Q] = y.shape as [number, number, number, number];

    const W = w.reshape([K, 3 * 3 * 2]); //                            [K, C·R·S]
    const X = ops.im2col(x, [3, 2], options); //                       [N, C·R·S, P·Q]
    const dY = dy.reshape([N, K, P * Q]);
    expect(ops.matmul(W, X).reshape(y.shape)).toEqual(y);

    const { gradInput, gradWeight } = ops.conv2dBackward(dy, x, w, options);
    const dW = ops.sum(ops.matmul(dY, X, { transposeB: true }), { dims: 0 });
    expect(dW.reshape(w.shape)).toEqual(gradWeight);
    const dX = ops.matmul(W, dY, { transposeA: true });
    expect(ops.col2im(dX, [7, 6], [3, 2], options)).toEqual(gradInput);
  });

  test('a 1×1 convolution is a linear layer at every pixel', () => {
    const [x, w, b] = [integers([2, 3, 4, 5], 1), integers([6, 3, 1, 1], 2), integers([6], 3)];
    const y = ops.conv2d(x, w, b);
    for (const [p, q] of [
      [0, 0],
      [3, 4],
      [2, 1],
    ] as const) {
      const at = (t: Tensor, n: number, c: number) =>
        t.data[((n * (t.shape[1] as number) + c) * 4 + p) * 5 + q] as number;
      const pixel = tensor([0, 1].map((n) => [0, 1, 2].map((c) => at(x, n, c))));
      const expected = ops.linear(pixel, w.reshape([6, 3]), b);
      expectClose(tensor([0, 1].map((n) => [0, 1, 2, 3, 4, 5].map((k) => at(y, n, k)))), expected);
    }
  });

  test('a shifted input shifts the output: convolution is translation equivariant', () => {
    const k = integers([1, 1, 3, 3], 2);
    const x = integers([1, 1, 8, 8], 1);
    const shifted = x.clone();
    for (let i = 0; i < 64; i++) shifted.data[i] = i % 8 === 0 ? 0 : (x.data[i - 1] as number);
    const [y, z] = [ops.conv2d(x, k), ops.conv2d(shifted, k)];
    for (let p = 0; p < 6; p++) for (let q = 1; q < 6; q++) expect(z.data[p * 6 + q]).toBe(y.data[p * 6 + q - 1]);
  });
});
