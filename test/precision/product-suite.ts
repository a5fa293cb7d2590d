import { describe, expect, test } from 'vitest';
import type { Attributes } from '../../lib/backend/backend.js';
import { findNative, type NativeBackend } from '../../lib/backend/native.js';
import { Random } from '../../lib/random.js';
import { Tensor } from '../../lib/tensor.js';
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

/** A·B of m × k and k × n. */
type Sizes = readonly [m: number, k: number, n: number];

/** Where an operator has one of the operands, and along which axis lie the rows of A or the columns of B. */
interface Side {
  readonly input: number;
  readonly axis: number;
}

/** An operator that is a matrix product. */
interface Product {
  readonly name: string;
  readonly operator: 'linear' | 'linearGradWeight' | 'matmul';
  readonly attributes: Attributes;
  readonly a: Side;
  readonly b: Side;
}

const matmul = (transposeA: boolean, transposeB: boolean): Product => ({
  name: `matmul ${transposeA ? 'Aᵀ' : 'A'}·${transposeB ? 'Bᵀ' : 'B'}`,
  operator: 'matmul',
  attributes: { transposeA, transposeB },
  a: { input: 0, axis: transposeA ? 1 : 0 },
  b: { input: 1, axis: transposeB ? 0 : 1 },
});

const products: readonly Product[] = [
  {
    name: 'linear',
    operator: 'linear',
    attributes: { activation: 'none' },
    a: { input: 0, axis: 0 },
    b: { input: 1, axis: 0 },
  },
  {
    name: 'linearGradWeight',
    operator: 'linearGradWeight',
    attributes: { withBias: false },
    a: { input: 1, axis: 1 },
    b: { input: 0, axis: 1 },
  },
  matmul(false, false),
  matmul(true, false),
  matmul(false, true),
  matmul(true, true),
];

type Cap = 'baseline' | 'avx2' | 'avx512' | 'avx512bf16' | 'amx';

/** Blocks that are whole and not, results smaller and larger than a task, sums in one part and in several. */
const manyRows: readonly Sizes[] = [
  [64, 400, 120],
  [7, 33, 5],
  [64, 512, 10],
  [33, 1500, 50],
  [16, 1024, 8],
  [300, 300, 100],
  [48, 3136, 64],
  [16, 20_000, 24],
];
const fewRows: readonly Sizes[] = [
  [4, 700, 150],
  [1, 1000, 200],
  [3, 4100, 90],
  [2, 20_000, 40],
];

export function productsInFloat32(cap: Cap): void {
  productSuite(cap, [{ algorithm: 'brgemm', precision: 'highest' }], manyRows);
  productSuite(cap, [{ algorithm: 'matvec', precision: 'highest' }], fewRows);
}

/** Emulated tile instructions take microseconds each: small sizes are left. */
export function productsInBf16(cap: Cap): void {
  const sizes = [...manyRows, ...fewRows];
  const small = sizes.filter(([m, k, n]) => m * k * n <= 4e6);
  productSuite(
    cap,
    (['highest', 'high', 'medium'] as const).map((precision) => ({ algorithm: 'bf16', precision })),
    process.env.LD_PRELOAD?.includes('libamx') ? small : sizes,
  );
}

/**
 * What a precision promises, for algorithms of matrix products in every orientation of their operands: see
 * contractSuite. `sizes` are what the bound is checked on.
 */
function productSuite(cap: Cap, ways: readonly Way[], sizes: readonly Sizes[]): void {
  process.env.FOVEA_CPU = cap;
  process.env.FOVEA_PLAN = 'fixed';
  const { backend, reason } = findNative();
  const problem = reason ?? (backend.info.isa === cap ? undefined : `this CPU is ${backend.info.isa}`);
  for (const way of ways) {
    describe.skipIf(problem !== undefined)(
      `products by ${way.algorithm} in '${way.precision}' under FOVEA_CPU=${cap}${problem ? ` (skipped: ${problem})` : ''}`,
      () => {
        if (!backend || problem) {
          test(`needs a CPU with ${cap}`, () => {});
          return;
        }
        for (const product of products.filter((one) => can(way, one, sizes))) {
          describe(product.name, () => {
            const run = (operands: Operands) => computeProduct(backend, product, operands, way);
            for (const size of sizes) {
              test(`${size.join('×')}: normally distributed`, () => {
                const { actual, expected } = run(normals(size, 1));
                expect(relativeError(actual, expected)).toBeLessThan(bounds[way.precision](size[1]));
              });
            }
            wideRange(run, way, sizes[0] as Sizes);
            specials(run, way, sizes[0] as Sizes);
          });
        }
        if (sizes[0] && can(way, products[0] as Product, sizes)) activations(backend, way, sizes[0]);
      },
    );
  }
}

/** A few rows that are multiplied where they lie must follow each other. */
const can = ({ algorithm }: Way, { a }: Product, sizes: readonly Sizes[]): boolean =>
  algorithm !== 'matvec' || a.axis === 0 || sizes.every(([m]) => m === 1);

interface Operands {
  readonly a: Tensor;
  readonly b: Tensor;
}
type Run = (operands: Operands) => Computed;

/** A and B as matrices of rows. */
function normals([m, k, n]: Sizes, seed: number): Operands {
  const random = new Random(seed);
  const draw = (shape: readonly number[]) => map(Tensor.zeros(shape), () => random.normal());
  return { a: draw([m, k]), b: draw([k, n]) };
}

function transposed({ shape, data }: Tensor): Tensor {
  const [rows, columns] = shape as [number, number];
  const from = (i: number) => data[(i % rows) * columns + Math.floor(i / rows)] as number;
  return new Tensor(
    [columns, rows],
    Float32Array.from(data as Float32Array, (_, i) => from(i)),
  );
}

function callOf(product: Product, { a, b }: Operands): Call {
  const inputs: (Tensor | null)[] = product.operator === 'linear' ? [null, null, null] : [null, null];
  inputs[product.a.input] = product.a.axis === 0 ? a : transposed(a);
  inputs[product.b.input] = product.b.axis === 1 ? b : transposed(b);
  const outputs = [{ shape: [a.shape[0] as number, b.shape[1] as number], dtype: 'float32' as const }];
  return { operator: product.operator, inputs, outputs, attributes: product.attributes };
}

function computeProduct(backend: NativeBackend, product: Product, operands: Operands, way: Way): Computed {
  const computed = compute(backend, callOf(product, operands), way);
  expect(computed.algorithm).toMatch(new RegExp(`^${product.operator}: ${way.algorithm}: `));
  return computed;
}

function wideRange(run: Run, { precision }: Way, sizes: Sizes): void {
  const bound = bounds[precision](sizes[1]);
  test('values over 12 decades', () => {
    const random = new Random(3);
    const spread = (tensor: Tensor) => map(tensor, (value) => value * 10 ** (12 * random.uniform() - 6));
    const { a, b } = normals(sizes, 2);
    const { actual, expected } = run({ a: spread(a), b: spread(b) });
    expect(relativeError(actual, expected)).toBeLessThan(bound);
  });
  for (const [side, axis] of [
    ['a', 0],
    ['b', 1],
  ] as const) {
    // A relative error means something for slices of some length: of four sums one may be as small as its error.
    if ((sizes[axis === 0 ? 2 : 0] as number) < 16) continue;
    test(`${side === 'a' ? 'rows' : 'columns'} over 12 decades, each held to the bound`, () => {
      const operands = normals(sizes, 4);
      const { shape } = operands[side];
      const scale = (at: number) => 10 ** ((12 * indexAlong(shape, axis, at)) / ((shape[axis] as number) - 1 || 1) - 6);
      const { actual, expected } = run({ ...operands, [side]: map(operands[side], (value, at) => value * scale(at)) });
      errorsAlong(axis, actual, expected).forEach((error, i) => {
        expect(error, `${i}`).toBeLessThan(1.2 * bound); // each is a small sample
      });
    });
  }
}

function specials(run: Run, { precision }: Way, sizes: Sizes): void {
  const { a, b } = normals(sizes, 5);
  const bound = bounds[precision](sizes[1]);

  test('near the largest float32', () => {
    // One bfloat16 rounds 3.4e38 to infinity; the sums stay below 1e38.
    const small = map(b, (value) => value * 1e-4);
    const big = map(a, (value, i) => (i % 7 === 0 ? Math.sign(value) * 3.4e38 : value * 1e37));
    const { actual, expected } = run({ a: big, b: small });
    expect(actual.data.every(Number.isFinite)).toBe(true);
    expect(relativeError(actual, expected)).toBeLessThan(bound);
  });

  for (const side of ['a', 'b'] as const) {
    test(`±∞ and NaN in ${side} reach what they reach in a direct sum`, () => {
      const { length } = (side === 'a' ? a : b).data;
      for (const [i, special] of [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN].entries()) {
        const place = Math.floor((length * (2 * i + 1)) / 7);
        const mark = (tensor: Tensor) => map(tensor, (value, at) => (at === place ? special : value));
        const { actual, expected } = run(side === 'a' ? { a: mark(a), b } : { a, b: mark(b) });
        expectSameKinds(actual, expected);
        expect(relativeError(finite(actual), finite(expected)) || 0).toBeLessThan(bound);
      }
    });

    test(`±0 in ${side} gives 0, and so do denormals`, () => {
      for (const value of [0, -0, 1e-40, -1e-40]) {
        const none = (tensor: Tensor) => map(tensor, () => value);
        const { actual } = run(side === 'a' ? { a: none(a), b } : { a, b: none(b) });
        expect(actual.data.every((result: number) => result === 0)).toBe(true);
      }
    });
  }
}

function activations(backend: NativeBackend, way: Way, sizes: Sizes): void {
  const [linear] = products as [Product];
  const { a, b } = normals(sizes, 6);
  const random = new Random(7);
  const bias = map(Tensor.zeros([sizes[2]]), () => 10 * random.normal());
  const withBias = (operands: Operands): Call => {
    const { inputs, ...call } = callOf(linear, operands);
    return { ...call, inputs: [...inputs.slice(0, 2), bias], attributes: { activation: 'relu' } };
  };

  test('linear: bias and ReLU', () => {
    const { actual, expected } = compute(backend, withBias({ a, b }), way);
    expect(relativeError(actual, expected)).toBeLessThan(bounds[way.precision](sizes[1]));
    expect(actual.data.some((value: number) => value === 0)).toBe(true);
  });

  test('linear: a ReLU does not hide what overflowed, NaN passes it', () => {
    const big = map(a, (value, i) => (i % 5 === 0 ? -3.4e38 : value * 1e30));
    const { actual, expected } = compute(backend, withBias({ a: big, b: map(b, (value) => value * 1e-3) }), way);
    expect(actual.data.every(Number.isFinite)).toBe(true);
    expect(relativeError(actual, expected)).toBeLessThan(bounds[way.precision](sizes[1]));
    const marked = map(a, (value, i) => (i === 0 ? Number.NaN : value));
    const nan = compute(backend, withBias({ a: marked, b }), way);
    expectSameKinds(nan.actual, nan.expected);
  });

  test('linearGradWeight: ∞ and NaN in dy reach the gradient of the bias', () => {
    const product = products[1] as Product;
    const { outputs, ...call } = callOf(product, { a: map(a, (v, i) => (i === 1 ? Number.NaN : v)), b });
    const { bias: db } = compute(
      backend,
      { ...call, outputs: [...outputs, { shape: [sizes[0]], dtype: 'float32' }], attributes: { withBias: true } },
      way.algorithm === 'matvec' ? { ...way, algorithm: 'brgemm' } : way,
    );
    expect(db?.data[0]).toBeNaN();
    expect(db?.data.slice(1).every(Number.isFinite)).toBe(true);
  });
}
