import { expect, test } from 'vitest';
import type { ProgramSpec } from '../../lib/backend/backend.ts';
import { findNative } from '../../lib/backend/native.ts';
import { activeBackend, backend, backendFor, namedBackend, useBackend } from '../../lib/backend/select.ts';
import { FoveaError } from '../../lib/errors.ts';
import { relu } from '../binding/helpers.ts';

const native = findNative().backend;

test.runIf(native)('the native backend runs a program, now and later', async () => {
  const program = namedBackend('native').compile(relu(6));
  const x = Float32Array.from([-1, 2, -3, 4, Number.NaN, 6]);
  const y = new Float32Array(6);
  program.runSync([x, y]);
  expect(y).toEqual(Float32Array.from([0, 2, 0, 4, Number.NaN, 6]));
  y.fill(9);
  await program.run([x, y]);
  expect(y).toEqual(Float32Array.from([0, 2, 0, 4, Number.NaN, 6]));
  expect(program.profile()).toHaveLength(1);
  expect(program.describe()[0]).toMatch(/^relu/);
});

test.runIf(native)('errors are FoveaErrors of the operator', async () => {
  const wrong: ProgramSpec = {
    ...relu(6),
    steps: [{ operator: 'relu', inputs: [0, 0], outputs: [1], attributes: {} }],
  };
  const caught = (body: () => unknown): unknown => {
    try {
      return body();
    } catch (error) {
      return error;
    }
  };
  const error = caught(() => namedBackend('native').compile(wrong));
  expect(error).toBeInstanceOf(FoveaError);
  expect(error).toMatchObject({ operator: 'relu', message: expect.stringMatching(/^relu: /) });
  const program = namedBackend('native').compile(relu(6));
  const x = new Float32Array(6);
  await expect(program.run([x])).rejects.toMatchObject({ code: 'ERR_DATA', operator: 'program' });
  await expect(program.run([x, new Float32Array(5)])).rejects.toThrow(/5 elements, expected a float32 array of 6/);
  await expect(program.run([x, new Float64Array(6)])).rejects.toMatchObject({ code: 'ERR_DTYPE' });
  program.dispose();
  expect(caught(() => program.runSync([x, x]))).toMatchObject({ code: 'ERR_DISPOSED', name: 'FoveaError' });
});

test('the active backend can be changed, and says what it is', () => {
  const before = activeBackend().name;
  useBackend('reference');
  expect(backend()).toMatchObject({ name: 'reference', isa: 'javascript', threads: 1, reason: 'chosen by useBackend' });
  if (native) {
    useBackend('native');
    expect(backend()).toMatchObject({
      name: 'native',
      isa: expect.stringMatching(/^(baseline|avx2|avx512|avx512bf16|amx)$/),
    });
    expect(backend().threads).toBeGreaterThan(0);
  }
  useBackend(before);
});

test('what the native backend cannot run, the reference backend does', () => {
  expect(backendFor('relu', ['float64', 'float64']).name).toBe('reference');
  expect(backendFor('relu', ['float32', 'float32']).name).toBe(activeBackend().name);
});

test.runIf(native)('the peak of the multiply-add units is a speed', () => {
  expect(native?.measurePeak(1, 'float32', 10)).toBeGreaterThan(0.01);
  expect(native?.measurePeak(1, 'bfloat16', 10)).toBeGreaterThanOrEqual(0);
  expect(native?.measurePeak(1, 'int16', 10)).toBeGreaterThanOrEqual(0);
  expect(() => native?.measurePeak(1000)).toThrow(FoveaError);
});

test.runIf(native)('so is the bandwidth, of any number of bytes', () => {
  for (const bytes of [1, 4096, 2 ** 20]) expect(native?.measureBandwidth(2, bytes, 6)).toBeGreaterThan(0.01);
  expect(() => native?.measureBandwidth(1, 2 ** 31)).toThrow(FoveaError);
  const limits = native?.limits(1);
  expect(native?.limits(1)).toBe(limits);
  expect(limits?.bandwidth(3e6)).toBe(limits?.bandwidth(2e6)); // nearest to 2 MiB, and measured once
});
