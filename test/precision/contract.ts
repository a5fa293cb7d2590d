import { expect } from 'vitest';
import type { Layout, Precision } from '../../lib/backend/backend.js';
import type { NativeBackend } from '../../lib/backend/native.js';
import { Tensor } from '../../lib/tensor.js';
import { type Call, runReference } from '../helpers/reference.js';
import { runGuarded } from '../helpers/run.js';

/** An algorithm and the precision that it is asked for. */
export interface Way {
  readonly algorithm:
    | 'winograd'
    | 'winograd int16'
    | 'winograd merged'
    | 'winograd int16 merged'
    | 'bf16'
    | 'brgemm'
    | 'matvec';
  readonly precision: Precision;
}

/** The relative error in the 2-norm, against float64, that each precision allows for sums of so many products. */
export const bounds: Readonly<Record<Precision, (products: number) => number>> = {
  highest: (products) => 5e-7 * Math.sqrt(products / 1000 + 1),
  high: () => 1e-5,
  medium: () => 5e-3,
};

export interface Computed {
  readonly actual: Tensor;
  readonly expected: Tensor;
  readonly bias: Tensor | null;
  readonly algorithm: string;
}

/** By the algorithm, and in float64. */
export function compute(
  backend: NativeBackend,
  call: Call,
  { algorithm, precision }: Way,
  layout: Layout = 'blocked',
): Computed {
  const asked = { ...call, attributes: { ...call.attributes, algorithm } };
  const { outputs, damage, describe: lines } = runGuarded(backend, asked, { threads: 2, layout, precision });
  expect(damage).toEqual([]);
  const [expected] = runReference({
    ...call,
    inputs: call.inputs.map((tensor) => tensor && new Tensor(tensor.shape, Float64Array.from(tensor.data))),
    outputs: call.outputs.map((spec) => spec && { ...spec, dtype: 'float64' }),
  });
  return {
    actual: outputs[0] as Tensor,
    expected: expected as Tensor,
    bias: outputs[1] ?? null,
    algorithm: lines.join(),
  };
}

const largestFloat = 3.4028234663852886e38;

/** New float32 values from the old ones. */
export function map({ shape, data }: Tensor, value: (old: number, index: number) => number): Tensor {
  return new Tensor(shape, Float32Array.from(data as Float32Array, value));
}

export function relativeError(actual: Tensor, expected: Tensor): number {
  return errorsAlong(0, actual.reshape([1, -1]), expected.reshape([1, -1]))[0] as number;
}

/** The relative error of each slice. */
export function errorsAlong(axis: number, actual: Tensor, expected: Tensor): number[] {
  const { shape } = expected;
  const sums = Array.from({ length: shape[axis] as number }, () => ({ error: 0, norm: 0 }));
  expected.data.forEach((value: number, at: number) => {
    const sum = sums[indexAlong(shape, axis, at)] as { error: number; norm: number };
    sum.error += ((actual.data[at] as number) - value) ** 2;
    sum.norm += value ** 2;
  });
  return sums.map(({ error, norm }) => Math.sqrt(error / norm));
}

/** NaN, ∞ and −∞ stand in the same places; a sum beyond float32 counts as infinite. */
export function expectSameKinds(actual: Tensor, expected: Tensor): void {
  const kind = (value: number) =>
    Number.isNaN(value) ? 'NaN' : Math.abs(value) > largestFloat ? Math.sign(value) : 'finite';
  const wrong = [...expected.data].findIndex((value, i) => kind(value) !== kind(actual.data[i] as number));
  if (wrong >= 0) expect.fail(`[${wrong}] is ${actual.data[wrong]}, must be ${expected.data[wrong]}`);
}

export const finite = ({ shape, data }: Tensor): Tensor =>
  new Tensor(
    shape,
    Float64Array.from(data, (value) => (Number.isFinite(value) ? value : 0)),
  );

export function indexAlong(shape: readonly number[], axis: number, at: number): number {
  let inner = 1;
  for (let i = axis + 1; i < shape.length; i++) inner *= shape[i] as number;
  return Math.floor(at / inner) % (shape[axis] as number);
}
