import { totalmem } from 'node:os';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { findAddon } from '../../lib/backend/addon-path.ts';
import { chain, relu } from './helpers.ts';

// The addon itself, without lib/backend/native.ts in between: whatever JavaScript does, it throws and does not crash.

// biome-ignore lint/suspicious/noExplicitAny: the point is to pass what the types forbid
type Loose = any;
const addon: Loose = 'exports' in findAddon() ? (findAddon() as { exports: unknown }).exports : undefined;

function codeOf(body: () => unknown): string {
  try {
    body();
    return 'no error';
  } catch (error) {
    return error instanceof Error ? ((error as { code?: string }).code ?? error.name) : String(error);
  }
}

const junk: readonly unknown[] = [
  undefined,
  null,
  0,
  -1,
  0.5,
  Number.NaN,
  2 ** 53,
  1e300,
  10n,
  '',
  'relu',
  true,
  Symbol('s'),
  () => 0,
  [],
  [[]],
  {},
  new Float32Array(6),
  new ArrayBuffer(8),
  new Proxy({}, {}),
  new Proxy([], {}),
  Object.create(null),
];

describe.runIf(addon)('the addon', () => {
  test('refuses every kind of junk in every field of a spec', () => {
    const fields: ((spec: Loose, value: unknown) => void)[] = [
      (spec, value) => (spec.values = value),
      (spec, value) => (spec.values[0] = value),
      (spec, value) => (spec.values[0].shape = value),
      (spec, value) => (spec.values[0].shape[0] = value),
      (spec, value) => (spec.values[0].dtype = value),
      (spec, value) => (spec.values[0].layout = value),
      (spec, value) => (spec.values[0].external = value),
      (spec, value) => (spec.values[2].offset = value),
      (spec, value) => (spec.steps = value),
      (spec, value) => (spec.steps[0] = value),
      (spec, value) => (spec.steps[0].operator = value),
      (spec, value) => (spec.steps[0].inputs = value),
      (spec, value) => (spec.steps[0].inputs[0] = value),
      (spec, value) => (spec.steps[0].outputs[0] = value),
      (spec, value) => (spec.steps[0].attributes = value),
      (spec, value) => (spec.externals = value),
      (spec, value) => (spec.arenaBytes = value),
      (spec, value) => (spec.threads = value),
      (spec, value) => (spec.precision = value),
      (spec, value) => (spec.steady = value),
      (spec, value) => (spec.steady = [value]),
      (spec, value) => (spec.frozen = value),
    ];
    for (const set of fields) {
      for (const value of junk) {
        const spec = structuredClone(chain(6, 3)) as Loose;
        set(spec, value);
        const code = codeOf(() => addon.createProgram(spec).runSync([new Float32Array(6), new Float32Array(6)]));
        expect(code, `${set} ${typeof value}`).toMatch(/^(no error|ERR_(SHAPE|OPTION|DTYPE|DATA|MEMORY|BACKEND))$/);
      }
    }
    for (const value of junk) expect(codeOf(() => addon.createProgram(value))).not.toBe('no error');
  });

  test('refuses values outside the arena, misaligned, too large or empty', () => {
    const withValue = (value: object, arenaBytes = 128) => ({
      values: [
        { shape: [16], dtype: 'float32', layout: 'plain', offset: 0 },
        { shape: [16], dtype: 'float32', layout: 'plain', ...value },
      ],
      steps: [{ operator: 'relu', inputs: [0], outputs: [1], attributes: {} }],
      externals: 0,
      arenaBytes,
      threads: 1,
    });
    const code = (value: object, arenaBytes?: number) =>
      codeOf(() => addon.createProgram(withValue(value, arenaBytes)).runSync([]));
    expect(code({ offset: 64 })).toBe('no error');
    expect(code({ offset: 128 })).toBe('ERR_DATA');
    expect(code({ offset: 68 })).toBe('ERR_DATA');
    expect(code({ offset: 2 ** 53 - 64 })).toBe('ERR_DATA');
    expect(code({ offset: 64 }, 127)).toBe('ERR_DATA');
    expect(code({ offset: 64 }, 2 ** 53)).toBe('ERR_MEMORY');
    expect(code({ offset: 64 }, 2 ** 45)).toBe('ERR_MEMORY');
    expect(code({ shape: [2 ** 20, 2 ** 20, 2 ** 20, 2 ** 20], offset: 64 })).toBe('ERR_SHAPE');
    expect(code({ shape: [2 ** 53], offset: 64 })).toBe('ERR_SHAPE');
    expect(code({ shape: [0], offset: 64 })).toBe('ERR_SHAPE');
    expect(code({ shape: [-1], offset: 64 })).toBe('ERR_SHAPE');
    expect(code({ shape: [1, 1, 1, 1, 1, 1, 1, 1, 16], offset: 64 })).toBe('ERR_SHAPE');
    expect(code({ layout: 'blocked', offset: 64 })).toBe('ERR_SHAPE');
    expect(code({ shape: new Array(4294967295), offset: 64 })).toBe('ERR_DATA');
  });

  test('refuses arenas that together are more than there is, though none was written to yet', () => {
    const spec = { values: [], steps: [], externals: 0, arenaBytes: 2 ** 30, threads: 1 };
    const held: Loose[] = [];
    const most = 2 * Math.ceil(totalmem() / 2 ** 30);
    const code = codeOf(() => {
      while (held.length < most) held.push(addon.createProgram(spec));
    });
    for (const program of held) program.dispose();
    expect(code).toBe('ERR_MEMORY');
    expect(codeOf(() => addon.createProgram(spec).dispose())).toBe('no error');
  });

  test('checks every array of a run', async () => {
    const program = addon.createProgram(relu(6));
    const x = new Float32Array(6);
    for (const value of junk) expect(codeOf(() => program.runSync(value))).not.toBe('no error');
    for (const value of junk.filter((item) => !(item instanceof Float32Array))) {
      expect(codeOf(() => program.runSync([x, value]))).toBe('ERR_DTYPE');
      expect(codeOf(() => program.run([x, value]))).toBe('ERR_DTYPE');
    }
    for (const value of junk.filter((item) => item !== undefined && item !== 0 && item !== 2 ** 53)) {
      expect(codeOf(() => program.runSync([x, x], value))).toBe('ERR_DATA');
    }
    for (const other of [Float64Array, Int32Array, Uint32Array, Uint8Array, Uint8ClampedArray, BigInt64Array]) {
      expect(codeOf(() => program.runSync([x, new other(6)]))).toBe('ERR_DTYPE');
    }
    expect(codeOf(() => program.runSync([x, new DataView(new ArrayBuffer(24))]))).toBe('ERR_DTYPE');
    expect(codeOf(() => program.runSync([x]))).toBe('ERR_DATA');
    expect(codeOf(() => program.runSync([x, x, x]))).toBe('ERR_DATA');
    expect(codeOf(() => program.runSync([x, new Float32Array(7)]))).toBe('ERR_DATA');
    const gone = new Float32Array(6);
    structuredClone(gone, { transfer: [gone.buffer] });
    expect(codeOf(() => program.runSync([x, gone]))).toBe('ERR_DATA');
    expect(() => program.runSync([x, gone])).toThrow(/array 1 is detached/);
    const shared = new Float32Array(new SharedArrayBuffer(24));
    program.runSync([Float32Array.of(-1, 1, -2, 2, -3, 3), shared]);
    expect([...shared]).toEqual([0, 1, 0, 2, 0, 3]);
    const part = new Float32Array(new ArrayBuffer(64), 4, 6);
    await program.run([Float32Array.of(-1, 1, -2, 2, -3, 3), part]);
    expect([...part]).toEqual([0, 1, 0, 2, 0, 3]);
    const foreign: Loose = runInNewContext('new Float32Array(6)');
    program.runSync([Float32Array.of(-1, 1, -2, 2, -3, 3), foreign]);
    expect([...foreign]).toEqual([0, 1, 0, 2, 0, 3]);
  });

  test('survives getters that change the world while the list is read', async () => {
    const program = addon.createProgram(relu(6));
    const x = new Float32Array(6);
    const trap = (body: () => Float32Array): unknown[] => {
      const list: unknown[] = [x];
      Object.defineProperty(list, 1, { enumerable: true, get: body });
      list.length = 2;
      return list;
    };
    expect(codeOf(() => program.runSync(trap(() => structuredClone(x, { transfer: [x.buffer] }))))).toBe('ERR_DATA');
    const y = new Float32Array(6);
    expect(
      codeOf(() =>
        program.runSync([
          y,
          {
            get length() {
              throw new RangeError('no');
            },
          },
        ]),
      ),
    ).toBe('ERR_DTYPE');
    const throwing: unknown[] = [y];
    Object.defineProperty(throwing, 1, {
      get: () => {
        throw new RangeError('mine');
      },
    });
    throwing.length = 2;
    expect(codeOf(() => program.runSync(throwing))).toBe('RangeError');
    let inner: Promise<void> | undefined;
    let nested = false;
    Object.defineProperty(Array.prototype, 1, {
      configurable: true,
      set(this: Loose, value) {
        if (!nested) {
          nested = true;
          inner = program.run([y, y]);
        }
        Object.defineProperty(this, 1, { value, writable: true, configurable: true, enumerable: true });
      },
    });
    const code = codeOf(() => program.run([y, y]));
    Reflect.deleteProperty(Array.prototype, 1);
    expect([code, nested]).toEqual(['ERR_BUSY', true]);
    await inner;
    const disposing: unknown[] = [y];
    Object.defineProperty(disposing, 1, { get: () => program.dispose() ?? y });
    expect(codeOf(() => program.runSync(disposing))).toBe('ERR_DISPOSED');
    expect(codeOf(() => program.run(disposing))).toBe('ERR_DISPOSED');
  });

  test('a method called on anything else is refused', () => {
    const program = addon.createProgram(relu(6));
    const { constructor: Program } = Object.getPrototypeOf(program);
    for (const method of ['runSync', 'run', 'cancel', 'profile', 'describe', 'dispose']) {
      for (const self of [...junk, Object.create(program), Object.create(Program.prototype), addon, new Map()]) {
        expect(
          codeOf(() => Program.prototype[method].call(self, [])),
          `${method} ${typeof self}`,
        ).toBe('TypeError');
      }
    }
    expect(codeOf(() => Program(relu(6)))).toBe('TypeError');
    expect(codeOf(() => new Program())).toBe('ERR_DATA');
    const mine: Loose = Reflect.construct(Program, [relu(6)], Map);
    expect(codeOf(() => mine.set(1, 2))).toBe('TypeError');
    Object.setPrototypeOf(mine, Program.prototype);
    mine.runSync([new Float32Array(6), new Float32Array(6)]);
    expect(codeOf(() => addon.measurePeak('float32', 0, 1))).toBe('ERR_DATA');
    expect(codeOf(() => addon.measurePeak('float32', 1e6, 1))).toBe('ERR_OPTION');
    expect(codeOf(() => addon.measurePeak('bfloat16', 1, 1e9))).toBe('ERR_OPTION');
    expect(codeOf(() => addon.measurePeak('int32', 1, 1))).toBe('ERR_OPTION');
    expect(codeOf(() => addon.measurePeak(true, 1, 1))).toBe('ERR_DATA');
    expect(codeOf(() => addon.measureBandwidth(-1, 1, 1))).toBe('ERR_DATA');
    expect(codeOf(() => addon.measureBandwidth(2 ** 40, 1, 1))).toBe('ERR_OPTION');
    expect(codeOf(() => addon.measureBandwidth(64, Number.NaN, 1))).toBe('ERR_DATA');
  });

  test('a resizable buffer is refused off the event loop, where it could shrink', async () => {
    const program = addon.createProgram(relu(6));
    const buffer: ArrayBuffer = Reflect.construct(ArrayBuffer, [24, { maxByteLength: 48 }]);
    if (!('resizable' in buffer)) return;
    expect(codeOf(() => program.run([new Float32Array(6), new Float32Array(buffer)]))).toBe('ERR_DATA');
    program.runSync([new Float32Array(6), new Float32Array(buffer)]);
  });

  test('a buffer that is transferred away during a run is written to, not freed, and the run says so', async () => {
    const elements = 1 << 20;
    const program = addon.createProgram(chain(elements, 40));
    for (let round = 0; round < 3; round++) {
      const x = new Float32Array(elements).fill(1);
      const y = new Float32Array(elements);
      const running = program.run([x, y]);
      for (const array of [x, y]) structuredClone(array, { transfer: [array.buffer] });
      for (let i = 0; i < 10; i++) new ArrayBuffer(1 << 24); // the clones are garbage: ask for them to be collected
      (globalThis as { gc?: () => void }).gc?.();
      await expect(running).rejects.toMatchObject({ code: 'ERR_DATA' });
    }
  });

  test('a program whose object is collected, or disposed of, during its run', async () => {
    const elements = 1 << 20;
    const start = () =>
      addon.createProgram(chain(elements, 30)).run([new Float32Array(elements), new Float32Array(elements)]);
    await Promise.all([start(), start(), start()]);
    const program = addon.createProgram(chain(elements, 300));
    const running = program.run([new Float32Array(elements), new Float32Array(elements)]);
    program.dispose();
    await expect(running).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    expect(codeOf(() => program.profile())).toBe('ERR_DISPOSED');
    program.dispose();
    program.cancel();
  });
});
