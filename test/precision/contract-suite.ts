import { describe, expect, test } from 'vitest';
import type { Attributes, Spec } from '../../lib/backend/backend.js';
import { findNative, type NativeBackend } from '../../lib/backend/native.js';
import { Random } from '../../lib/random.js';
import { Tensor } from '../../lib/tensor.js';
import { lacks } from '../helpers/level.js';
import type { Call } from '../helpers/reference.js';
import {
  bounds,
  type Computed,
  compute,
  errorsAlong,
  expectSameKinds,
  finite,
  indexAlong,
  map,
  relativeError,
  type Way,
} from './contract.js';

type Pass = 'conv2d' | 'conv2dGradInput' | 'conv2dGradWeight';
const passes: readonly Pass[] = ['conv2d', 'conv2dGradInput', 'conv2dGradWeight'];
/** Those of filters for which an algorithm has no weight gradient. */
const ungraded: readonly Pass[] = ['conv2d', 'conv2dGradInput'];
/** Those of a stem, whose image is read as planes: its gradient is no algorithm's of its own. */
const stemPasses: readonly Pass[] = ['conv2d', 'conv2dGradWeight'];

/** A convolution whose padding, of stride 1, keeps the size of the image. The kernel is square, of 3×3 at most times. */
type Sizes = readonly [
  ...[n: number, channels: number, h: number, w: number, filters: number],
  ...[stride?: 1 | 2, kernel?: number, dilation?: number, groups?: number],
];

interface Tensors {
  readonly x: Tensor;
  readonly weight: Tensor;
  readonly dy: Tensor;
}

interface Operands extends Tensors {
  readonly dilation: number;
  readonly groups: number;
}

// Of the tests that are being declared: a file is one process and tests of one level.
let way: Way = { algorithm: 'winograd', precision: 'highest' };

/**
 * What a precision promises, for one algorithm: a relative error within the bound, small values beside large ones that
 * are not lost, and the values that a direct sum in float32 has where they are not finite.
 */
export function contractSuite(cap: 'baseline' | 'avx2' | 'avx512' | 'avx512bf16', of: Way): void {
  way = of;
  process.env.FOVEA_CPU = cap;
  process.env.FOVEA_PLAN = 'fixed';
  const { backend, reason } = findNative();
  const problem = reason ?? backend.info.problem ?? lacks(backend.info.detected, cap);
  describe.skipIf(problem !== undefined)(
    `${way.algorithm} in '${way.precision}' under FOVEA_CPU=${cap}${problem ? ` (skipped: ${problem})` : ''}`,
    () => {
      if (!backend || problem) {
        test('needs the native backend');
        return;
      }
      test('the cap is obeyed', () => expect(backend.info.isa).toBe(cap));
      if (way.algorithm.endsWith('merged')) {
        normalData(backend, merged, passes);
        specials(backend, [2, 96, 16, 16, 48, 1, 3, 1, 2], passes);
        return;
      }
      normalData(backend, channelCounts, passes);
      oneImage(backend);
      for (const stride of [1, 2] as const) {
        describe(`stride ${stride}`, () => {
          wideRange(backend, [4, 64, 16 * stride, 16 * stride, 64, stride], passes);
          specials(backend, [2, 64, 16 * stride, 16 * stride, 48, stride], passes);
        });
      }
      if (way.algorithm.startsWith('winograd')) {
        other(backend);
        return;
      }
      describe('stems', () => {
        normalData(backend, stems, stemPasses);
        wideRange(backend, [3, 3, 22, 21, 40], stemPasses);
        specials(backend, [3, 3, 22, 21, 48], stemPasses);
      });
    },
  );
}

const channelCounts: readonly Sizes[] = [
  [1, 16, 32, 32, 16],
  [5, 16, 32, 32, 16],
  [2, 16, 30, 33, 64],
  [3, 40, 24, 24, 24],
  [6, 32, 16, 16, 32],
  [2, 64, 16, 16, 48],
  [8, 128, 7, 7, 128],
  [4, 256, 7, 7, 256],
  [4, 256, 8, 8, 192],
  [3, 512, 4, 4, 512],
  [6, 16, 32, 32, 32, 2],
  [3, 40, 30, 41, 24, 2],
  [5, 64, 31, 27, 80, 2],
  [8, 128, 16, 16, 192, 2],
  [2, 512, 14, 14, 256, 2],
  // Images that end within a tile of Winograd's, after 3, 2 or 1 of its 4 rows or columns, or before one is whole.
  [9, 128, 3, 3, 128],
  [6, 64, 6, 10, 48],
  [3, 64, 13, 14, 32],
  [5, 32, 8, 7, 64],
  [2, 256, 11, 9, 32],
  [4, 64, 14, 12, 64, 2],
  [3, 128, 28, 26, 96, 2],
  [2, 48, 56, 21, 32, 2],
];

/** Filters for which Winograd has transforms of its own, or the tiles are cut otherwise. */
const otherFilters: readonly Sizes[] = [
  [2, 32, 28, 31, 32, 1, 5],
  [3, 48, 14, 14, 128, 1, 5],
  [2, 256, 9, 9, 64, 1, 5],
  [2, 32, 30, 31, 64, 1, 3, 2],
  [2, 96, 17, 20, 64, 1, 3, 6],
  [1, 64, 27, 27, 48, 1, 5, 2],
];

/** Whose groups are of whole blocks of 16 channels. */
const grouped: readonly Sizes[] = [
  [3, 48, 28, 31, 48, 1, 3, 1, 3],
  [16, 96, 7, 7, 192, 1, 3, 1, 3],
  [2, 256, 14, 14, 128, 1, 3, 1, 2],
  [5, 64, 31, 27, 128, 2, 3, 1, 4],
  [2, 64, 20, 23, 96, 1, 5, 1, 2],
  [2, 64, 30, 31, 64, 1, 3, 2, 2],
];

/** Whose groups are, two or four of them together. */
const merged: readonly Sizes[] = [
  [3, 48, 28, 31, 48, 1, 3, 1, 2],
  [16, 240, 7, 7, 240, 1, 3, 1, 10],
  [3, 80, 20, 23, 160, 1, 3, 1, 2],
  [4, 80, 18, 17, 80, 1, 3, 1, 4],
  [5, 96, 31, 27, 48, 2, 3, 1, 2],
  [2, 80, 20, 23, 112, 1, 5, 1, 2],
];

function other(backend: NativeBackend): void {
  normalData(backend, otherFilters, passes);
  describe('5×5', () => {
    wideRange(backend, [2, 32, 12, 13, 48, 1, 5], ungraded); // a weight gradient would be beyond the contract
    specials(backend, [2, 32, 12, 13, 48, 1, 5], ungraded);
  });
  describe('dilation 2', () => {
    wideRange(backend, [2, 32, 15, 17, 48, 1, 3, 2], passes);
    specials(backend, [2, 32, 15, 17, 48, 1, 3, 2], passes);
  });
  describe('groups', () => {
    normalData(backend, grouped, passes);
    specials(backend, [2, 96, 16, 16, 48, 1, 3, 1, 3], passes);
  });
}

const stems: readonly Sizes[] = [
  [9, 1, 28, 28, 32],
  [3, 3, 32, 32, 64],
  [2, 4, 40, 37, 17],
];
const layoutOf = (x: Tensor) => ((x.shape[1] as number) <= 4 ? 'plain' : 'blocked');

function normalData(backend: NativeBackend, all: readonly Sizes[], passes: readonly Pass[]): void {
  for (const sizes of all) {
    const operands = normals(sizes, 1);
    for (const pass of kernelOf(sizes) === 3 ? passes : ungraded) {
      const [, , , , filters, stride = 1, kernel = 3, dilation = 1, groups = 1] = sizes;
      const more = `${dilation > 1 ? `, dilation ${dilation}` : ''}${groups > 1 ? `, ${groups} groups` : ''}`;
      const filter = `${kernel}×${kernel}, stride ${stride}${more}`;
      test(`${pass} of ${sizes.slice(0, 4).join('×')} → ${filters}, ${filter}`, () => {
        const { actual, expected, algorithm } = compute(backend, callOf(pass, operands), way, layoutOf(operands.x));
        expect(algorithm).toMatch(named());
        expect(relativeError(actual, expected)).toBeLessThan(bound(pass, sizes));
      });
    }
  }
}

function oneImage(backend: NativeBackend): void {
  test('conv2dGradWeight: where one image of eight has a gradient, as exact as of that image', () => {
    const sizes: Sizes = [8, 16, 32, 32, 16];
    const operands = normals(sizes, 6);
    const dy = map(operands.dy, (value, at) => (indexAlong(operands.dy.shape, 0, at) === 3 ? value : 0));
    const { actual, expected } = computePass(backend, 'conv2dGradWeight', { ...operands, dy });
    expect(relativeError(actual, expected)).toBeLessThan(bound('conv2dGradWeight', [1, 16, 32, 32, 16]));
  });
}

/** The axis of an operand that is scaled, and that of the result which is scaled with it. */
const scaled: readonly { pass: Pass; operand: keyof Tensors; axis: number; along: number; of: string }[] = [
  { pass: 'conv2d', operand: 'x', axis: 0, along: 0, of: 'images' },
  { pass: 'conv2d', operand: 'weight', axis: 0, along: 1, of: 'filters' },
  { pass: 'conv2dGradInput', operand: 'dy', axis: 0, along: 0, of: 'images' },
  { pass: 'conv2dGradInput', operand: 'weight', axis: 1, along: 1, of: 'channels' },
  { pass: 'conv2dGradWeight', operand: 'x', axis: 1, along: 1, of: 'channels' },
  { pass: 'conv2dGradWeight', operand: 'dy', axis: 1, along: 0, of: 'filters' },
];

function wideRange(backend: NativeBackend, sizes: Sizes, passes: readonly Pass[]): void {
  for (const pass of passes) {
    test(`${pass}: values over 12 decades`, () => {
      const random = new Random(3);
      const { x, weight, dy, ...others } = normals(sizes, 2);
      const spread = (tensor: Tensor) => map(tensor, (value) => value * 10 ** (12 * random.uniform() - 6));
      const { actual, expected } = computePass(backend, pass, {
        ...others,
        x: spread(x),
        weight: spread(weight),
        dy: spread(dy),
      });
      expect(relativeError(actual, expected)).toBeLessThan(bound(pass, sizes));
    });
  }
  for (const pass of passes) {
    test.each([1e-10, 1e-14])(`${pass}: all values as small as %s`, (size) => {
      const operands = normals(sizes, 7);
      const [x, weight, dy] = [operands.x, operands.weight, operands.dy].map((tensor) =>
        map(tensor, (value) => value * size),
      ) as [Tensor, Tensor, Tensor];
      const { actual, expected } = computePass(backend, pass, { ...operands, x, weight, dy });
      expect(relativeError(actual, expected)).toBeLessThan(bound(pass, sizes));
    });
  }
  for (const { pass, operand, axis, along, of } of scaled.filter((one) => passes.includes(one.pass))) {
    test(`${pass}: ${of} over 12 decades, each held to the bound`, () => {
      const operands = normals(sizes, 4);
      const count = operands[operand].shape[axis] as number;
      const scale = (i: number) => 10 ** ((12 * i) / (count - 1) - 6);
      const spread = map(
        operands[operand],
        (value, at) => value * scale(indexAlong(operands[operand].shape, axis, at)),
      );
      const { actual, expected } = computePass(backend, pass, { ...operands, [operand]: spread });
      errorsAlong(along, actual, expected).forEach((error, i) => {
        expect(error, `${of} ${i}`).toBeLessThan(1.2 * bound(pass, sizes)); // each is a small sample
      });
    });
  }
}

function specials(backend: NativeBackend, sizes: Sizes, passes: readonly Pass[]): void {
  const all = normals(sizes, 5);
  const { x, weight, dy } = all;
  const taps = tapsOf(sizes);

  for (const pass of passes) {
    test(`${pass}: near the largest float32`, () => {
      // Sums of at most some 1e38 that a transformed tile, with larger terms, cannot hold.
      const size = { conv2d: 2e36, conv2dGradInput: 2e36, conv2dGradWeight: 1e36 }[pass];
      const big = (tensor: Tensor) => map(tensor, (value) => value * size);
      const large = pass === 'conv2dGradInput' ? { dy: big(dy) } : { x: big(x) };
      const { actual, expected } = computePass(backend, pass, { ...all, ...large });
      expect(actual.data.every(Number.isFinite)).toBe(true);
      expect(relativeError(actual, expected)).toBeLessThan(bound(pass, sizes));
    });

    for (const operand of operandsOf[pass]) {
      test(`${pass}: ±∞ and NaN in ${operand} reach what they reach in a direct sum`, () => {
        const { length } = all[operand].data;
        for (const [i, special] of [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN].entries()) {
          // The middle of a filter never meets padding: 0·∞ would be NaN there.
          const place = Math.floor((length * (2 * i + 1)) / (7 * taps)) * taps + Math.floor(taps / 2);
          const marked = map(all[operand], (value, at) => (at === place ? special : value));
          const { actual, expected } = computePass(backend, pass, { ...all, [operand]: marked });
          expectSameKinds(actual, expected);
          expect(relativeError(finite(actual), finite(expected))).toBeLessThan(bound(pass, sizes));
        }
      });
    }

    test(`${pass}: ±0 gives 0, and so do denormals`, () => {
      for (const value of [0, -0, 1e-40, -1e-40]) {
        for (const operand of operandsOf[pass]) {
          const none = map(all[operand], () => value);
          const { actual } = computePass(backend, pass, { ...all, [operand]: none });
          expect(actual.data.every((result: number) => result === 0)).toBe(true);
        }
      }
    });
  }

  test('conv2d: a ReLU does not hide what overflowed', () => {
    const big = map(x, (value) => -Math.abs(value) * 2e36);
    const positive = map(weight, (value, i) => (i < weight.data.length / 2 ? Math.abs(value) / 8 : value));
    const call = callOf('conv2d', { ...all, x: big, weight: positive });
    const relu = { ...call, attributes: { ...call.attributes, activation: 'relu' } };
    const { actual, expected } = compute(backend, relu, way, layoutOf(x));
    expect(relativeError(actual, expected)).toBeLessThan(bound('conv2d', sizes));
  });

  if (!passes.includes('conv2dGradWeight')) return;
  if (layoutOf(x) === 'blocked') infinitePadding(backend, sizes, all);
  test('conv2dGradWeight: ∞ and NaN in dy reach the gradient of the bias', () => {
    const [p, q] = outputSides(sizes);
    const second = p * q;
    const marked = map(dy, (value, i) => (i === 7 ? Number.NEGATIVE_INFINITY : i === second ? Number.NaN : value));
    const { bias } = computePass(backend, 'conv2dGradWeight', { ...all, dy: marked });
    expect(bias?.data[0]).toBe(Number.NEGATIVE_INFINITY);
    expect(bias?.data[1]).toBeNaN();
    expect(bias?.data.slice(2).every(Number.isFinite)).toBe(true);
  });
}

/** Of blocked images: those of planes are multiplied with their padding. */
function infinitePadding(backend: NativeBackend, sizes: Sizes, operands: Operands): void {
  test('conv2dGradWeight: ∞ in dy does not meet the padding of x', () => {
    const plane = outputSides(sizes).reduce((p, q) => p * q);
    const infinite = new Map([
      [0, Number.POSITIVE_INFINITY],
      [2 * plane - 1, Number.NEGATIVE_INFINITY],
    ]);
    const dy = map(operands.dy, (value, at) => infinite.get(at) ?? value);
    const { actual, expected } = computePass(backend, 'conv2dGradWeight', { ...operands, dy });
    expectSameKinds(actual, expected);
    const first = finite(expected).data.slice(0, (tapsOf(sizes) * sizes[1]) / groupsOf(sizes));
    expect(first).toContain(0); // some of the first filter's are infinite
    expect([...expected.data].filter(Number.isNaN)).toEqual([]);
    expect(relativeError(finite(actual), finite(expected))).toBeLessThan(bound('conv2dGradWeight', sizes));
  });
}

const operandsOf: Readonly<Record<Pass, readonly (keyof Tensors)[]>> = {
  conv2d: ['x', 'weight'],
  conv2dGradInput: ['dy', 'weight'],
  conv2dGradWeight: ['x', 'dy'],
};

/** For the products of one sum, on average: a stride leaves each pixel of x a share of the taps. */
const bound = (pass: Pass, sizes: Sizes): number => {
  const [n, channels, , , filters, stride = 1] = sizes;
  const [p, q] = outputSides(sizes);
  const products = {
    conv2d: (tapsOf(sizes) * channels) / groupsOf(sizes),
    conv2dGradInput: (tapsOf(sizes) * filters) / stride ** 2 / groupsOf(sizes),
    conv2dGradWeight: n * p * q,
  }[pass];
  return bounds[way.precision](products);
};

const kernelOf = ([, , , , , , kernel = 3]: Sizes) => kernel;
const tapsOf = (sizes: Sizes) => kernelOf(sizes) ** 2;
const groupsOf = ([, , , , , , , , groups = 1]: Sizes) => groups;
const outputSides = ([, , h, w, , stride = 1]: Sizes) => [Math.ceil(h / stride), Math.ceil(w / stride)] as const;

function normals(sizes: Sizes, seed: number): Operands {
  const [n, channels, h, w, filters, , kernel = 3, dilation = 1, groups = 1] = sizes;
  const random = new Random(seed);
  const draw = (shape: readonly number[]) => map(Tensor.zeros(shape), () => random.normal());
  return {
    dilation,
    groups,
    x: draw([n, channels, h, w]),
    weight: draw([filters, channels / groups, kernel, kernel]),
    dy: draw([n, filters, ...outputSides(sizes)]),
  };
}

function callOf(pass: Pass, { dilation, groups, x, weight, dy }: Operands): Call {
  const like = ({ shape }: Tensor): Spec => ({ shape, dtype: 'float32' });
  const stride = x.shape[2] === dy.shape[2] ? 1 : 2;
  const kernel = weight.shape[2] as number;
  const attributes: Attributes = {
    ...{ stride: [stride, stride], dilation: [dilation, dilation], groups },
    ...{ padding: Array(4).fill((dilation * (kernel - 1)) / 2), paddingMode: 'zeros', flipKernel: false },
  };
  const filters: Spec = { shape: [dy.shape[1] as number], dtype: 'float32' };
  return {
    conv2d: {
      operator: pass,
      inputs: [x, weight, null],
      outputs: [like(dy)],
      attributes: { ...attributes, activation: 'none' },
    },
    conv2dGradInput: {
      operator: pass,
      inputs: [dy, weight],
      outputs: [like(x)],
      attributes: { ...attributes, inputShape: x.shape },
    },
    conv2dGradWeight: {
      operator: pass,
      inputs: [x, dy],
      outputs: [like(weight), filters],
      attributes: { ...attributes, kernelSize: [kernel, kernel], withBias: true },
    },
  }[pass];
}

const named = () => {
  if (way.algorithm === 'winograd int16') return /winograd .* in int16: /;
  if (way.algorithm === 'winograd int16 merged') return /winograd .* in int16: .*groups merged by/;
  if (way.algorithm === 'winograd merged') return /winograd [24]x[24].*groups merged by/;
  return way.algorithm === 'winograd' ? /winograd [24]x[24]/ : new RegExp(`${way.algorithm}: `);
};

function computePass(backend: NativeBackend, pass: Pass, operands: Operands): Computed {
  const computed = compute(backend, callOf(pass, operands), way, layoutOf(operands.x));
  expect(computed.algorithm).toMatch(named());
  return computed;
}
