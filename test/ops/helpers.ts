import { beforeAll, describe, expect } from 'vitest';
import { namedBackend, useBackend } from '../../lib/backend/select.js';
import { type ErrorCode, FoveaError } from '../../lib/errors.js';
import type { Value } from '../../lib/ops/operator.js';
import { type DType, type NestedNumbers, Tensor, tensor } from '../../lib/tensor.js';

/** Why the native backend cannot be had here; undefined when it can. */
function nativeMissing(): string | undefined {
  try {
    namedBackend('native');
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** The same tests on both backends; native ones are skipped, with the reason, where it cannot be loaded. */
export function onBackends(body: () => void): void {
  const missing = nativeMissing();
  for (const name of ['reference', 'native'] as const) {
    const title = name === 'native' && missing ? `native (${missing})` : name;
    describe.skipIf(name === 'native' && missing)(title, () => {
      beforeAll(() => useBackend(name));
      body();
    });
  }
}

/** What a value holds, once it is computed. */
export function valuesOf(value: Value): NestedNumbers {
  return (value as Tensor).toArray();
}

/** Equality of shape and of every element, up to `tolerance` relative to the largest. */
export function expectClose(actual: Value, expected: NestedNumbers | Tensor, tolerance = 1e-6): void {
  const wanted = expected instanceof Tensor ? expected : tensor(expected, undefined, 'float64');
  expect(actual.shape).toEqual(wanted.shape);
  const data = (actual as Tensor).data;
  const scale = Array.from(wanted.data).reduce((most: number, v: number) => Math.max(most, Math.abs(v)), 1);
  wanted.data.forEach((v: number, i: number) => {
    const got = data[i] as number;
    if (!(Object.is(got, v) || got === v || Math.abs(got - v) <= tolerance * scale))
      expect({ i, value: got }).toEqual({ i, value: v });
  });
}

/** Whole numbers −4 … 4 that look random and are the same at every run: sums of products are exact in float32. */
export function integers(shape: readonly number[], seed = 1, dtype: DType = 'float32'): Tensor {
  const x = Tensor.zeros(shape, dtype);
  for (let i = 0; i < x.data.length; i++) x.data[i] = (((i + seed) * 2654435761) % 9) - 4;
  return x;
}

/** Σ a·b: the scalar product of the adjoint identity. */
export function dot(a: Value, b: Value): number {
  const [x, y] = [a, b].map((value) => Array.from((value as Tensor).data)) as [number[], number[]];
  return x.reduce((sum: number, v: number, i: number) => sum + v * (y[i] as number), 0);
}

/** Checks that `body` throws a FoveaError with this code, an operator's name and a message that matches. */
export function expectError(body: () => unknown, code: ErrorCode, message: RegExp): void {
  let thrown: unknown;
  try {
    body();
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(FoveaError);
  const error = thrown as FoveaError;
  expect(error.message).toMatch(message);
  expect({ code: error.code, message: error.message }).toEqual({ code, message: error.message });
  expect(error.message.startsWith(`${error.operator}: `)).toBe(true);
}
