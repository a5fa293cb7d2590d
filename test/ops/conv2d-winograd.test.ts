import { beforeAll, describe, expect, test } from 'vitest';
import type { Attributes, ProgramSpec } from '../../lib/backend/backend.js';
import { findNative } from '../../lib/backend/native.js';
import { namedBackend, useBackend } from '../../lib/backend/select.js';
import { ops, Tensor } from '../../lib/index.js';
import { Random } from '../../lib/random.js';
import { dot } from './helpers.js';

type Shape = readonly [number, number, number, number];
type Sides = readonly [top: number, bottom: number, left: number, right: number];

/** A 3×3 convolution that is large enough for Winograd to pay. */
interface Case {
  readonly name: string;
  readonly x: Shape;
  readonly filters: number;
  readonly padding: Sides;
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
];

const contract = (depth: number) => 5e-7 * Math.sqrt((9 * depth) / 1000 + 1);

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
function expectWithinContract(actual: Tensor, expected: Tensor, depth: number): void {
  expect(actual.shape).toEqual(expected.shape);
  const { relative, largest } = errors(actual, expected);
  expect(relative).toBeLessThan(contract(depth));
  expect(largest).toBeLessThan(10 * contract(depth));
}

function outputShape({ x: [n, , h, w], filters, padding: [top, bottom, left, right] }: Case): Shape {
  return [n, filters, h + top + bottom - 2, w + left + right - 2];
}

/** One blocked convolution, from its externals to its output. */
function programOf(row: Case, operator: 'conv2d' | 'conv2dGradInput', threads: number): ProgramSpec {
  const { x, filters, padding, flipKernel = false } = row;
  const conv: Attributes = { stride: [1, 1], padding, dilation: [1, 1], groups: 1, paddingMode: 'zeros', flipKernel };
  const forward = operator === 'conv2d';
  const [source, dest] = forward ? [x, outputShape(row)] : [outputShape(row), x];
  const blocked = (shape: Shape, external: number) =>
    ({ shape, dtype: 'float32', layout: 'blocked', external }) as const;
  const weight = { shape: [filters, x[1], 3, 3], dtype: 'float32', layout: 'plain', external: 1 } as const;
  const attributes = forward ? { ...conv, activation: 'none' } : { ...conv, inputShape: x };
  return {
    values: [blocked(source, 0), weight, blocked(dest, 2)],
    steps: [{ operator, inputs: forward ? [0, 1, -1] : [0, 1], outputs: [2], attributes }],
    externals: 3,
    arenaBytes: 0,
    threads,
  };
}

const blockedFloats = ([n, c, h, w]: Shape) => n * Math.ceil(c / 16) * h * w * 16;

const native = findNative().backend;

describe.runIf(native)('Winograd', () => {
  beforeAll(() => useBackend('native'));

  for (const [i, row] of cases.entries()) {
    const { name, x, filters, padding, flipKernel = false } = row;
    const depth = x[1];
    const [top, bottom, left, right] = padding;
    const options = {
      padding: [
        [top, bottom],
        [left, right],
      ],
      flipKernel,
    } as const;
    const input = normals(x, 10 * i + 1);
    const weight = normals([filters, depth, 3, 3], 10 * i + 2);
    const bias = normals([filters], 10 * i + 3);
    const dy = normals(outputShape(row), 10 * i + 4);

    describe(name, () => {
      test('is what the plan picks', () => {
        for (const operator of ['conv2d', 'conv2dGradInput'] as const) {
          const program = namedBackend('native').compile(programOf(row, operator, 1));
          expect(program.describe()[0]).toMatch(/winograd [24]x[24]/);
          program.dispose();
        }
      });

      test('keeps the contract, with bias', () => {
        const expected = ops.conv2d(doubles(input), doubles(weight), doubles(bias), options);
        expectWithinContract(ops.conv2d(input, weight, bias, options), expected, depth);
      });

      test('keeps the contract in the gradient of its input', () => {
        const { gradInput } = ops.conv2dBackward(dy, input, weight, options);
        const expected = ops.conv2dBackward(doubles(dy), doubles(input), doubles(weight), options).gradInput;
        expectWithinContract(gradInput, expected, filters);
      });

      test('⟨conv(x, w), dy⟩ = ⟨x, gradInput⟩', () => {
        const y = ops.conv2d(input, weight, null, options);
        const { gradInput } = ops.conv2dBackward(dy, input, weight, options);
        const scale = Math.sqrt(dot(y, y) * dot(dy, dy));
        expect(Math.abs(dot(y, dy) - dot(input, gradInput))).toBeLessThan(contract(depth) * scale);
      });

      test('gives the same bits on 1, 2 and 3 threads, and zeros in the lanes beyond', () => {
        for (const operator of ['conv2d', 'conv2dGradInput'] as const) {
          const [source, dest] = operator === 'conv2d' ? [x, outputShape(row)] : [outputShape(row), x];
          const data = normals([blockedFloats(source)], 5).data as Float32Array;
          clearPadding(data, source);
          const runs = [1, 2, 3].map((threads) => {
            const y = new Float32Array(blockedFloats(dest)).fill(Number.NaN);
            const program = namedBackend('native').compile(programOf(row, operator, threads));
            program.runSync([data, weight.data, y]);
            program.dispose();
            return y;
          });
          const cleared = (runs[0] as Float32Array).slice();
          clearPadding(cleared, dest);
          for (const run of runs) expect(Buffer.from(run.buffer).equals(Buffer.from(cleared.buffer))).toBe(true);
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
    expect(describeWith({ padding: [2, 2, 2, 2], dilation: [2, 2] })).not.toMatch(/winograd/);
    const plain = spec.values.map((value, i) => (i === 0 ? { ...value, layout: 'plain' as const } : value));
    expect(describeWith({}, plain)).not.toMatch(/winograd/);
    const small = programOf({ ...row, x: [1, 16, 8, 8], filters: 16 }, 'conv2d', 1);
    expect(describeWith({}, small.values)).not.toMatch(/winograd/);
  });

  test('NaN stays within the tiles that read it', () => {
    const x = normals([1, 64, 24, 24], 1);
    const weight = normals([64, 64, 3, 3], 2);
    x.data[0] = Number.NaN;
    const y = ops.conv2d(x, weight, null, { padding: 1 }) as Tensor;
    y.data.forEach((value: number, i: number) => {
      const [p, q] = [Math.floor(i / 24) % 24, i % 24];
      if (p < 2 && q < 2) expect(value).toBeNaN();
      if (p >= 4 || q >= 4) expect(Number.isFinite(value)).toBe(true);
    });
  });
});

/** Zeros in the lanes of channels that do not exist. */
function clearPadding(data: Float32Array, [n, c, h, w]: Shape): void {
  const blocks = Math.ceil(c / 16);
  for (let i = 0; i < n * blocks; i++) {
    const lanes = Math.min(16, c - (i % blocks) * 16);
    for (let pixel = 0; pixel < h * w; pixel++)
      data.fill(0, (i * h * w + pixel) * 16 + lanes, (i * h * w + pixel + 1) * 16);
  }
}
