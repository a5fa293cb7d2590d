import { describe, expect, test } from 'vitest';
import { ops, Tensor, tensor, vjp } from '../../lib/index.js';
import {
  type Conv2dOptions,
  conv2dGradInputOperator,
  conv2dGradWeightOperator,
  conv2dOperator,
} from '../../lib/ops/conv2d.js';
import { dot, expectError, integers, onBackends } from './helpers.js';

interface Case {
  readonly name: string;
  readonly x: readonly number[];
  readonly weight: readonly number[];
  readonly options: Conv2dOptions;
  readonly y: readonly number[];
}

// One row per hyperparameter, and some of them together.
const cases: readonly Case[] = [
  { name: 'defaults', x: [2, 3, 5, 6], weight: [4, 3, 3, 2], options: {}, y: [2, 4, 3, 5] },
  { name: 'asymmetric stride', x: [1, 2, 7, 9], weight: [3, 2, 3, 3], options: { stride: [2, 3] }, y: [1, 3, 3, 3] },
  { name: 'padding per axis', x: [1, 2, 4, 5], weight: [3, 2, 3, 3], options: { padding: [1, 2] }, y: [1, 3, 4, 7] },
  {
    name: 'padding per side',
    x: [1, 2, 4, 5],
    weight: [3, 2, 3, 3],
    options: {
      padding: [
        [2, 0],
        [1, 3],
      ],
    },
    y: [1, 3, 4, 7],
  },
  {
    name: "'same', stride 2",
    x: [1, 2, 6, 7],
    weight: [3, 2, 3, 4],
    options: { padding: 'same', stride: 2 },
    y: [1, 3, 3, 4],
  },
  {
    name: "'full', dilated",
    x: [1, 1, 3, 4],
    weight: [2, 1, 2, 3],
    options: { padding: 'full', dilation: [2, 1] },
    y: [1, 2, 5, 6],
  },
  { name: 'dilation', x: [1, 2, 7, 8], weight: [3, 2, 3, 2], options: { dilation: [2, 3] }, y: [1, 3, 3, 5] },
  { name: 'groups', x: [2, 4, 5, 5], weight: [6, 2, 3, 3], options: { groups: 2, padding: 1 }, y: [2, 6, 5, 5] },
  {
    name: 'depthwise',
    x: [2, 5, 6, 6],
    weight: [5, 1, 3, 3],
    options: { groups: 5, padding: 1, stride: 2 },
    y: [2, 5, 3, 3],
  },
  {
    name: 'depthwise, two filters each',
    x: [1, 3, 4, 4],
    weight: [6, 1, 2, 2],
    options: { groups: 3 },
    y: [1, 6, 3, 3],
  },
  {
    name: 'reflect',
    x: [1, 2, 4, 5],
    weight: [3, 2, 3, 3],
    options: {
      padding: [
        [2, 3],
        [4, 1],
      ],
      paddingMode: 'reflect',
    },
    y: [1, 3, 7, 8],
  },
  {
    name: 'replicate',
    x: [1, 2, 3, 2],
    weight: [3, 2, 3, 3],
    options: { padding: [4, 5], paddingMode: 'replicate' },
    y: [1, 3, 9, 10],
  },
  {
    name: 'circular',
    x: [1, 2, 3, 4],
    weight: [3, 2, 3, 3],
    options: {
      padding: [
        [3, 1],
        [0, 4],
      ],
      paddingMode: 'circular',
    },
    y: [1, 3, 5, 6],
  },
  {
    name: 'flipKernel',
    x: [1, 2, 5, 5],
    weight: [3, 2, 3, 2],
    options: { flipKernel: true, padding: 1 },
    y: [1, 3, 5, 6],
  },
  {
    name: 'all together',
    x: [2, 4, 8, 9],
    weight: [6, 2, 3, 2],
    options: {
      stride: [2, 1],
      padding: [
        [1, 2],
        [3, 0],
      ],
      dilation: [1, 2],
      groups: 2,
      paddingMode: 'circular',
      flipKernel: true,
    },
    y: [2, 6, 5, 10],
  },
  { name: '1×1', x: [2, 17, 3, 3], weight: [18, 17, 1, 1], options: {}, y: [2, 18, 3, 3] },
  { name: 'the kernel covers the input', x: [3, 2, 4, 4], weight: [5, 2, 4, 4], options: {}, y: [3, 5, 1, 1] },
];

/** Where padded pixel i of an axis of n comes from: its number, or −1 for a zero. */
const padded = {
  zeros: (i: number, n: number) => (i < 0 || i >= n ? -1 : i),
  reflect: (i: number, n: number) => (i < 0 ? -i : i >= n ? 2 * (n - 1) - i : i),
  replicate: (i: number, n: number) => Math.min(Math.max(i, 0), n - 1),
  circular: (i: number, n: number) => (i + n) % n,
};

/** y[n,k,p,q] = b[k] + Σ x·w, written as the formula, with the attributes' padding; checks the backends' own loops. */
function byFormula(x: Tensor, weight: Tensor, bias: Tensor, options: Conv2dOptions, shape: readonly number[]): Tensor {
  const [, C, H, W] = x.shape as [number, number, number, number];
  const [K, perGroup, R, S] = weight.shape as [number, number, number, number];
  const pair = (v: number | readonly number[]) => (typeof v === 'number' ? [v, v] : v) as [number, number];
  const [sh, sw] = pair(options.stride ?? 1);
  const [dh, dw] = pair(options.dilation ?? 1);
  const [top, left] = leading(options, [H, W], [R, S], [sh, sw], [dh, dw]);
  const at = padded[options.paddingMode ?? 'zeros'];
  const y = Tensor.zeros(shape);
  const [N, , P, Q] = shape as [number, number, number, number];
  const perGroupOut = K / (options.groups ?? 1);
  let i = 0;
  for (let n = 0; n < N; n++)
    for (let k = 0; k < K; k++)
      for (let p = 0; p < P; p++)
        for (let q = 0; q < Q; q++) {
          let sum = bias.data[k] as number;
          for (let c = 0; c < perGroup; c++)
            for (let r = 0; r < R; r++)
              for (let s = 0; s < S; s++) {
                const h = at(p * sh + r * dh - top, H);
                const w = at(q * sw + s * dw - left, W);
                if (h < 0 || w < 0) continue;
                const channel = Math.floor(k / perGroupOut) * perGroup + c;
                const [a, b] = options.flipKernel ? [R - 1 - r, S - 1 - s] : [r, s];
                const pixel = x.data[((n * C + channel) * H + h) * W + w] as number;
                sum += pixel * (weight.data[((k * perGroup + c) * R + a) * S + b] as number);
              }
          y.data[i++] = sum;
        }
  return y;
}

/** Padding at the top and at the left. */
function leading(
  options: Conv2dOptions,
  size: number[],
  kernel: number[],
  stride: number[],
  dilation: number[],
): [number, number] {
  const axis = (i: number): number => {
    const { padding = 0 } = options;
    const taps = (dilation[i] as number) * ((kernel[i] as number) - 1) + 1;
    const [n, s] = [size[i] as number, stride[i] as number];
    if (padding === 'valid') return 0;
    if (padding === 'full') return taps - 1;
    if (padding === 'same') return Math.floor(Math.max((Math.ceil(n / s) - 1) * s + taps - n, 0) / 2);
    const own = typeof padding === 'number' ? padding : (padding[i] as number | readonly [number, number]);
    return typeof own === 'number' ? own : own[0];
  };
  return [axis(0), axis(1)];
}

onBackends(() => {
  for (const { name, x, weight, options, y } of cases) {
    describe(name, () => {
      const [input, filters, bias] = [integers(x, 1), integers(weight, 2), integers([weight[0] as number], 3)];
      const dy = integers(y, 4);

      test('forward equals the formula', () => {
        const expected = byFormula(input, filters, bias, options, y);
        expect(ops.conv2d(input, filters, bias, options)).toEqual(expected);
      });

      test('⟨conv(x, w), dy⟩ = ⟨x, gradInput⟩ = ⟨w, gradWeight⟩', () => {
        const value = dot(ops.conv2d(input, filters, null, options), dy);
        const { gradInput, gradWeight, gradBias } = ops.conv2dBackward(dy, input, filters, options);
        expect(gradInput.shape).toEqual(x);
        expect(gradWeight.shape).toEqual(weight);
        expect(dot(input, gradInput)).toBe(value);
        expect(dot(filters, gradWeight)).toBe(value);
        expect(gradBias).toEqual(ops.sum(dy, { dims: [0, 2, 3] }));
      });

      test('vjp gives the gradients that have a name', () => {
        const { pullback } = vjp((a, b, c) => ops.conv2d(a, b, c, options), [input, filters, bias]);
        const [gradInput, gradWeight, gradBias] = pullback(dy);
        expect({ gradInput, gradWeight, gradBias }).toEqual(ops.conv2dBackward(dy, input, filters, options));
      });
    });
  }

  test('the gradients are bilinear, so they have gradients of their own', () => {
    const options = { stride: [2, 1], padding: 1, groups: 2 } as const;
    const [x, w] = [integers([2, 4, 5, 4], 1), integers([6, 2, 3, 2], 2)];
    const dy = integers(ops.conv2d(x, w, null, options).shape, 3);
    const { pullback } = vjp((a, b, c) => ops.conv2dBackward(c, a, b, options).gradInput, [x, w, dy]);
    const g = integers(x.shape, 4);
    const [, gw, gdy] = pullback(g);
    expect(gdy).toEqual(ops.conv2d(g, w, null, options));
    expect(gw).toEqual(ops.conv2dBackward(dy, g, w, options).gradWeight);
    const second = vjp((a, c) => ops.conv2dBackward(c, a, w, options).gradWeight, [x, dy]);
    const h = integers(w.shape, 5);
    const [gx, gy] = second.pullback(h);
    expect(gx).toEqual(ops.conv2dBackward(dy, x, h, options).gradInput);
    expect(gy).toEqual(ops.conv2d(x, h, null, options));
  });

  test('an absent bias is undefined or null', () => {
    const [x, w] = [integers([1, 1, 3, 3]), integers([1, 1, 2, 2])];
    expect(ops.conv2d(x, w, undefined)).toEqual(ops.conv2d(x, w, null));
    expect(ops.conv2d(x, w)).toEqual(ops.conv2d(x, w, tensor([0])));
  });

  test('an empty batch gives an empty output and gradients of 0', () => {
    const [x, w] = [Tensor.zeros([0, 1, 3, 3]), integers([2, 1, 2, 2])];
    const y = ops.conv2d(x, w);
    expect(y.shape).toEqual([0, 2, 2, 2]);
    const { gradInput, gradWeight, gradBias } = ops.conv2dBackward(y, x, w);
    expect([gradInput, gradWeight, gradBias]).toEqual([x, Tensor.zeros([2, 1, 2, 2]), Tensor.zeros([2])]);
  });

  test('float64 keeps its precision', () => {
    const x = Tensor.full([1, 1, 1, 2], 1, 'float64');
    const w = new Tensor([1, 1, 1, 2], Float64Array.of(1, 1e-12));
    expect(ops.conv2d(x, w).data[0]).toBe(1 + 1e-12);
  });
});

describe('cost', () => {
  const spec = (shape: readonly number[]) => ({ shape, dtype: 'float32' }) as const;
  const [x, w, b, y] = [spec([2, 4, 8, 8]), spec([6, 2, 3, 3]), spec([6]), spec([2, 6, 6, 6])];

  test('2 operations for each output element and weight of its filter, and 1 for its bias', () => {
    expect(conv2dOperator.cost([x, w, null], [y], {}).flops).toBe(2 * (2 * 6 * 6 * 6) * (2 * 3 * 3));
    expect(conv2dOperator.cost([x, w, b], [y], {}).flops).toBe(2 * (2 * 6 * 6 * 6) * (2 * 3 * 3) + 2 * 6 * 6 * 6);
    expect(conv2dGradInputOperator.cost([y, w], [x], {}).flops).toBe(2 * (2 * 6 * 6 * 6) * (2 * 3 * 3));
    expect(conv2dGradWeightOperator.cost([x, y], [w, null], {}).flops).toBe(2 * (2 * 6 * 6 * 6) * (2 * 3 * 3));
  });

  test('every element is read or written at least once', () => {
    expect(conv2dOperator.cost([x, w, null], [y], {}).bytes).toBe(4 * (2 * 4 * 64 + 6 * 2 * 9 + 2 * 6 * 36));
  });
});

describe('refuses', () => {
  const [x, w] = [integers([8, 32, 28, 28]), integers([4, 16, 3, 3])];
  const conv =
    (options: object, input = integers([1, 2, 5, 5]), weight = integers([2, 2, 3, 3])) =>
    () =>
      ops.conv2d(input, weight, null, options as Conv2dOptions);

  test('channels that differ, with both sides', () => {
    expectError(
      () => ops.conv2d(x, w),
      'ERR_SHAPE',
      /^conv2d: weight expects 16 input channels, input has 32 \(input \[8, 32, 28, 28\], weight \[4, 16, 3, 3\], groups 1\)$/,
    );
    expectError(
      () => ops.conv2d(integers([1, 4, 5, 5]), integers([4, 3, 3, 3]), null, { groups: 2 }),
      'ERR_SHAPE',
      /weight expects 2 · 3 = 6 input channels, input has 4/,
    );
  });

  test('groups that do not divide', () => {
    expectError(conv({ groups: 3 }), 'ERR_SHAPE', /3 groups do not divide 2 input channels/);
    expectError(
      conv({ groups: 2 }, integers([1, 2, 5, 5]), integers([3, 1, 3, 3])),
      'ERR_SHAPE',
      /2 groups do not divide 3 output channels/,
    );
    expectError(conv({ groups: 0 }), 'ERR_OPTION', /groups must be a whole number >= 1, got 0/);
  });

  test('wrong ranks', () => {
    expectError(
      conv({}, integers([2, 5, 5])),
      'ERR_SHAPE',
      /x must be \[N, C, H, W\] \(rank 4\), got \[2, 5, 5\] \(rank 3\)/,
    );
    expectError(
      conv({}, undefined, integers([2, 3, 3])),
      'ERR_SHAPE',
      /weight must be \[K, C \/ groups, R, S\] \(rank 4\)/,
    );
    expectError(
      () => ops.conv2d(integers([1, 2, 5, 5]), integers([2, 2, 3, 3]), integers([3])),
      'ERR_SHAPE',
      /bias must be \[2\].*got \[3\]/,
    );
  });

  test('a kernel larger than the padded input', () => {
    expectError(
      conv({ padding: [0, 1], dilation: 3 }),
      'ERR_SHAPE',
      /the kernel spans 7 rows \(dilation 3: 3·\(3 − 1\) \+ 1\), the padded input has 5 \+ 2·0 = 5/,
    );
  });

  test('hyperparameters outside their range', () => {
    for (const bad of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31, '2', [1], [1, 2, 3], [1, 0], null]) {
      if (bad !== null) expectError(conv({ stride: bad }), 'ERR_OPTION', /stride must be/);
      if (bad !== null) expectError(conv({ dilation: bad }), 'ERR_OPTION', /dilation must be/);
    }
    for (const bad of [
      -1,
      0.5,
      Number.NaN,
      'valid ',
      [1],
      [[1, 1]],
      [[1, 1], 1],
      [
        [1, -1],
        [0, 0],
      ],
      {},
    ]) {
      expectError(conv({ padding: bad }), 'ERR_OPTION', /padding/);
    }
    expectError(
      conv({ paddingMode: 'mirror' }),
      'ERR_OPTION',
      /paddingMode must be one of 'zeros', 'reflect', 'replicate', 'circular', got 'mirror'/,
    );
    expectError(conv({ flipKernel: 1 }), 'ERR_OPTION', /flipKernel must be true or false, got 1/);
  });

  test('options that do not exist, with a guess', () => {
    expectError(conv({ paddding: 1 }), 'ERR_OPTION', /unknown option "paddding"; did you mean "padding"\?/);
    expectError(conv({ kernelSize: 1 }), 'ERR_OPTION', /unknown option "kernelSize"; known are stride, padding,/);
  });

  test('options in the place of the bias', () => {
    const call = ops.conv2d as (...args: unknown[]) => unknown;
    expectError(
      () => call(integers([1, 2, 5, 5]), integers([2, 2, 3, 3]), { padding: 1 }),
      'ERR_DTYPE',
      /bias must be a Tensor, got Object; options come after all tensors/,
    );
  });

  test("PyTorch's limits of reflect and circular padding", () => {
    expectError(
      conv({ padding: 5, paddingMode: 'reflect' }),
      'ERR_SHAPE',
      /reflect padding of 5 needs more than the 5 rows of the input: at most 4/,
    );
    expectError(
      conv({ padding: [0, 6], paddingMode: 'circular' }),
      'ERR_SHAPE',
      /circular padding of 6 needs more than the 5 columns of the input: at most 5/,
    );
  });

  test('outputs and padded inputs too large, before anything is allocated', () => {
    expectError(conv({ padding: 30000 }), 'ERR_MEMORY', /the padded input \[1, 2, 60005, 60005\] would have/);
    expectError(conv({ padding: 2 ** 31 - 1, stride: 2 ** 31 - 1 }), 'ERR_MEMORY', /the padded input/);
    expectError(
      conv({ padding: 10000 }, integers([1, 1, 2, 2]), integers([6, 1, 1, 1])),
      'ERR_MEMORY',
      /the output \[1, 6, 20002, 20002\]/,
    );
  });

  test('a gradient of another shape', () => {
    const backward = () => ops.conv2dBackward(integers([1, 2, 3, 4]), integers([1, 2, 5, 5]), integers([2, 2, 3, 3]));
    expectError(
      backward,
      'ERR_SHAPE',
      /^conv2dBackward: gradOutput must be \[1, 2, 3, 3\], the shape of the output, got \[1, 2, 3, 4\]$/,
    );
  });
});
