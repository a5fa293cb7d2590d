import { beforeAll, describe, expect, test } from 'vitest';
import type { Attributes, ProgramSpec } from '../../lib/backend/backend.js';
import { findNative } from '../../lib/backend/native.js';
import { namedBackend, useBackend } from '../../lib/backend/select.js';
import { ops, Tensor } from '../../lib/index.js';
import { Random } from '../../lib/random.js';
import { dot } from './helpers.js';

type Shape = readonly [number, number, number, number];
type Sides = readonly [top: number, bottom: number, left: number, right: number];

/** A convolution, of 3×3 taps at most times, that is large enough for Winograd to pay. */
interface Case {
  readonly name: string;
  readonly x: Shape;
  readonly filters: number;
  readonly padding: Sides;
  readonly stride?: 1 | 2;
  readonly kernel?: 3 | 5;
  readonly dilation?: number;
  readonly groups?: number;
  readonly flipKernel?: boolean;
}

const cases: readonly Case[] = [
  { name: 'whole tiles', x: [2, 64, 16, 16], filters: 64, padding: [1, 1, 1, 1] },
  { name: 'tiles cut at both ends', x: [3, 33, 19, 22], filters: 47, padding: [1, 1, 1, 1] },
  { name: 'padding per side', x: [2, 40, 17, 21], filters: 70, padding: [2, 0, 1, 2] },
  { name: 'no padding, rotated', x: [2, 96, 14, 13], filters: 80, padding: [0, 0, 0, 0], flipKernel: true },
  { name: 'more filters than tiles', x: [2, 96, 8, 8], filters: 200, padding: [1, 1, 1, 1] },
  { name: 'maps of 7×7', x: [4, 160, 7, 7], filters: 128, padding: [1, 1, 1, 1] },
  { name: 'maps of 2×2', x: [24, 128, 2, 2], filters: 96, padding: [1, 1, 1, 1] },
  { name: 'stride 2', x: [4, 64, 32, 32], filters: 64, padding: [1, 1, 1, 1], stride: 2 },
  { name: 'stride 2, tiles cut', x: [4, 90, 45, 38], filters: 80, padding: [1, 1, 1, 1], stride: 2 },
  { name: 'stride 2, padding per side', x: [5, 96, 31, 31], filters: 96, padding: [0, 2, 2, 0], stride: 2 },
  { name: 'stride 2, rotated', x: [5, 96, 31, 31], filters: 112, padding: [1, 1, 0, 2], stride: 2, flipKernel: true },
  { name: 'stride 2, more filters than tiles', x: [16, 128, 16, 16], filters: 144, padding: [1, 1, 1, 1], stride: 2 },
  { name: '5×5', x: [3, 64, 27, 27], filters: 96, padding: [2, 2, 2, 2], kernel: 5 },
  { name: '5×5, cut, rotated', x: [2, 40, 18, 23], filters: 70, padding: [0, 3, 4, 1], kernel: 5, flipKernel: true },
  { name: '5×5, more filters than tiles', x: [2, 96, 8, 8], filters: 200, padding: [2, 2, 2, 2], kernel: 5 },
  { name: 'dilation 2', x: [2, 64, 28, 27], filters: 64, padding: [2, 2, 2, 2], dilation: 2 },
  {
    name: 'dilation 3, cut, rotated',
    x: [2, 48, 23, 29],
    filters: 64,
    padding: [0, 5, 6, 1],
    dilation: 3,
    flipKernel: true,
  },
  { name: '5×5, dilation 2', x: [2, 64, 20, 21], filters: 64, padding: [4, 4, 4, 4], kernel: 5, dilation: 2 },
  { name: 'groups', x: [3, 96, 28, 29], filters: 144, padding: [1, 1, 1, 1], groups: 3 },
  { name: 'groups, maps of 7×7', x: [8, 256, 7, 7], filters: 256, padding: [1, 1, 1, 1], groups: 8 },
  { name: 'groups, rotated', x: [2, 256, 17, 15], filters: 128, padding: [2, 0, 1, 2], groups: 2, flipKernel: true },
  { name: 'groups, stride 2', x: [6, 256, 31, 29], filters: 256, padding: [1, 1, 0, 2], groups: 2, stride: 2 },
  { name: 'groups, 5×5', x: [3, 96, 27, 27], filters: 128, padding: [2, 2, 2, 2], groups: 2, kernel: 5 },
  { name: 'groups, dilation 2', x: [2, 128, 28, 27], filters: 128, padding: [2, 2, 2, 2], groups: 2, dilation: 2 },
];

/** How describe() names them. */
const named = ({ stride = 1, kernel = 3, dilation = 1 }: Case) => {
  const taps = kernel === 5 ? ' of 5 taps' : '';
  return new RegExp(`winograd [24]x[24]${stride === 2 ? ' of stride 2' : taps}${dilation > 1 ? ' dilated' : ''}:`);
};

type Pass = 'conv2d' | 'conv2dGradInput' | 'conv2dGradWeight';
/** Those that use it: a weight gradient of 5×5 taps would be beyond the contract. */
const passesOf = ({ kernel }: Case): readonly Pass[] =>
  kernel === 5 ? ['conv2d', 'conv2dGradInput'] : ['conv2d', 'conv2dGradInput', 'conv2dGradWeight'];

/** The relative error that 'highest' allows in a sum of so many products. */
const contract = (products: number) => 5e-7 * Math.sqrt(products / 1000 + 1);

function normals(shape: readonly number[], seed: number): Tensor {
  const random = new Random(seed);
  const x = Tensor.zeros(shape);
  for (let i = 0; i < x.data.length; i++) x.data[i] = random.normal();
  return x;
}

const doubles = (x: Tensor) => new Tensor(x.shape, Float64Array.from(x.data));

/** The 2-norm of the error as a share of that of the value, and its largest element as a share of the value's rms. */
function errors(actual: Tensor, expected: Tensor): { relative: number; largest: number } {
  let [error, norm, largest] = [0, 0, 0];
  expected.data.forEach((value: number, i: number) => {
    const difference = Math.abs((actual.data[i] as number) - value);
    error += difference ** 2;
    norm += value ** 2;
    largest = Math.max(largest, difference);
  });
  return { relative: Math.sqrt(error / norm), largest: largest / Math.sqrt(norm / expected.data.length) };
}

/** Within the contract as a whole; a single element, where the largest coefficients meet, may be off by ten times that. */
function expectWithinContract(actual: Tensor, expected: Tensor, products: number): void {
  expect(actual.shape).toEqual(expected.shape);
  const { relative, largest } = errors(actual, expected);
  expect(relative).toBeLessThan(contract(products));
  expect(largest).toBeLessThan(10 * contract(products));
}

function outputShape(row: Case): Shape {
  const { x, filters, padding, stride = 1, kernel = 3, dilation = 1 } = row;
  const [n, , h, w] = x;
  const [top, bottom, left, right] = padding;
  const along = (size: number) => Math.floor((size - dilation * (kernel - 1) - 1) / stride) + 1;
  return [n, filters, along(h + top + bottom), along(w + left + right)];
}

/** One blocked convolution, from its two inputs to its outputs. */
function programOf(row: Case, operator: Pass, threads: number): ProgramSpec {
  const { x, filters, padding, stride = 1, kernel = 3, dilation = 1, groups = 1, flipKernel = false } = row;
  const conv: Attributes = {
    stride: [stride, stride],
    padding,
    dilation: [dilation, dilation],
    groups,
    paddingMode: 'zeros',
    flipKernel,
  };
  const blocked = (shape: Shape) => ({ shape, dtype: 'float32', layout: 'blocked' }) as const;
  const plain = (shape: readonly number[]) => ({ shape, dtype: 'float32', layout: 'plain' }) as const;
  const weight = plain([filters, x[1] / groups, kernel, kernel]);
  const y = blocked(outputShape(row));
  const { values, attributes } = {
    conv2d: { values: [blocked(x), weight, y], attributes: { ...conv, activation: 'none' } },
    conv2dGradInput: { values: [y, weight, blocked(x)], attributes: { ...conv, inputShape: x } },
    conv2dGradWeight: {
      values: [blocked(x), y, weight, plain([filters])],
      attributes: { ...conv, kernelSize: [kernel, kernel], withBias: true },
    },
  }[operator];
  return {
    values: values.map((value, external) => ({ ...value, external })),
    steps: [
      {
        operator,
        inputs: operator === 'conv2d' ? [0, 1, -1] : [0, 1],
        outputs: operator === 'conv2dGradWeight' ? [2, 3] : [2],
        attributes,
      },
    ],
    externals: values.length,
    arenaBytes: 0,
    threads,
  };
}

type Value = ProgramSpec['values'][number];
const isBlocked = ({ layout }: Value) => layout === 'blocked';
const floatsOf = (value: Value) =>
  isBlocked(value) ? blockedFloats(value.shape as Shape) : value.shape.reduce((a, b) => a * b, 1);
const blockedFloats = ([n, c, h, w]: Shape) => n * Math.ceil(c / 16) * h * w * 16;

const native = findNative().backend;

describe.runIf(native)('Winograd', () => {
  beforeAll(() => useBackend('native'));

  for (const [i, row] of cases.entries()) {
    const { name, x, filters, padding, stride = 1, kernel = 3, dilation = 1, groups = 1, flipKernel = false } = row;
    const [depth, taps] = [x[1] / groups, kernel ** 2];
    const [top, bottom, left, right] = padding;
    const options = {
      padding: [
        [top, bottom],
        [left, right],
      ],
      stride,
      dilation,
      groups,
      flipKernel,
    } as const;
    const input = normals(x, 10 * i + 1);
    const weight = normals([filters, depth, kernel, kernel], 10 * i + 2);
    const bias = normals([filters], 10 * i + 3);
    const dy = normals(outputShape(row), 10 * i + 4);

    describe(name, () => {
      test('is what the plan picks', () => {
        for (const operator of passesOf(row)) {
          const program = namedBackend('native').compile(programOf(row, operator, 1));
          expect(program.describe()[0]).toMatch(named(row));
          program.dispose();
        }
      });

      test('keeps the contract, with bias', () => {
        const expected = ops.conv2d(doubles(input), doubles(weight), doubles(bias), options);
        expectWithinContract(ops.conv2d(input, weight, bias, options), expected, taps * depth);
      });

      test('keeps the contract in the gradient of its input', () => {
        const { gradInput } = ops.conv2dBackward(dy, input, weight, options);
        const expected = ops.conv2dBackward(doubles(dy), doubles(input), doubles(weight), options).gradInput;
        expectWithinContract(gradInput, expected, (taps * filters) / groups);
      });

      test('keeps the contract in the gradients of weight and bias', () => {
        const { gradWeight, gradBias } = ops.conv2dBackward(dy, input, weight, options);
        const expected = ops.conv2dBackward(doubles(dy), doubles(input), doubles(weight), options);
        const [n, , p, q] = outputShape(row);
        expectWithinContract(gradWeight, expected.gradWeight, n * p * q);
        expectWithinContract(gradBias as Tensor, expected.gradBias as Tensor, n * p * q);
      });

      test('⟨conv(x, w), dy⟩ = ⟨x, gradInput⟩ = ⟨w, gradWeight⟩', () => {
        const y = ops.conv2d(input, weight, null, options);
        const { gradInput, gradWeight } = ops.conv2dBackward(dy, input, weight, options);
        const bound = contract(taps * depth) * Math.sqrt(dot(y, y) * dot(dy, dy));
        expect(Math.abs(dot(y, dy) - dot(input, gradInput))).toBeLessThan(bound);
        expect(Math.abs(dot(y, dy) - dot(weight, gradWeight))).toBeLessThan(bound);
      });

      test('gives the same bits on 1, 2 and 3 threads, and zeros in the lanes beyond', () => {
        for (const operator of passesOf(row)) {
          const { values } = programOf(row, operator, 1);
          const inputs = values.slice(0, 2).map((value, j) => {
            const data = normals([floatsOf(value)], 5 + j).data as Float32Array<ArrayBuffer>;
            return isBlocked(value) ? clearPadding(data, value.shape as Shape) : data;
          });
          const [first = [], ...others] = [1, 2, 3].map((threads) => {
            const outputs = values.slice(2).map((value) => new Float32Array(floatsOf(value)).fill(Number.NaN));
            const program = namedBackend('native').compile(programOf(row, operator, threads));
            program.runSync([...inputs, ...outputs]);
            program.dispose();
            return outputs;
          });
          values.slice(2).forEach((value, j) => {
            const data = first[j] as Float32Array<ArrayBuffer>;
            const cleared = isBlocked(value) ? clearPadding(data.slice(), value.shape as Shape) : data;
            for (const run of [first, ...others])
              expect(Buffer.from(run[j]?.buffer as ArrayBuffer).equals(Buffer.from(cleared.buffer))).toBe(true);
          });
        }
      });
    });
  }

  test('declines what it cannot do or what does not pay', () => {
    const [row] = cases as [Case];
    const spec = programOf(row, 'conv2d', 1);
    const { attributes, ...step } = spec.steps[0] as ProgramSpec['steps'][number];
    const describeWith = (changes: Attributes, values = spec.values): string => {
      const program = namedBackend('native').compile({
        ...spec,
        values,
        steps: [{ ...step, attributes: { ...attributes, ...changes } }],
      });
      const text = program.describe()[0] as string;
      program.dispose();
      return text;
    };
    expect(describeWith({})).toMatch(/winograd/);
    expect(describeWith({ paddingMode: 'circular' })).not.toMatch(/winograd/);
    const narrow = spec.values.map((value, i) => (i === 2 ? { ...value, shape: [2, 64, 16, 8] } : value));
    expect(describeWith({ stride: [1, 2] }, narrow)).not.toMatch(/winograd/);
    expect(describeWith({ padding: [2, 2, 1, 1], dilation: [2, 1] })).not.toMatch(/winograd/);
    const plain = spec.values.map((value, i) => (i === 0 ? { ...value, layout: 'plain' as const } : value));
    expect(describeWith({}, plain)).not.toMatch(/winograd/);
    const small = programOf({ ...row, x: [1, 16, 8, 8], filters: 16 }, 'conv2d', 1);
    expect(describeWith({}, small.values)).not.toMatch(/winograd/);
  });
});

/** Zeros in the lanes of channels that do not exist. */
function clearPadding(data: Float32Array<ArrayBuffer>, [n, c, h, w]: Shape): Float32Array<ArrayBuffer> {
  const blocks = Math.ceil(c / 16);
  for (let i = 0; i < n * blocks; i++) {
    const lanes = Math.min(16, c - (i % blocks) * 16);
    for (let pixel = 0; pixel < h * w; pixel++)
      data.fill(0, (i * h * w + pixel) * 16 + lanes, (i * h * w + pixel + 1) * 16);
  }
  return data;
}
