import { describe, expect, test } from 'vitest';
import type { Attributes, Backend, ProgramSpec, ProgramValue } from '../../lib/backend/backend.js';
import { findNative } from '../../lib/backend/native.js';
import { referenceBackend } from '../../lib/backend/reference/index.js';
import type { ErrorCode } from '../../lib/errors.js';
import type { DType, TypedArray } from '../../lib/tensor.js';

// What a compiled program promises besides numbers, on both backends alike.

const { backend: native } = findNative();
const backends: readonly Backend[] = native && !native.info.problem ? [referenceBackend, native] : [referenceBackend];

const external = (shape: readonly number[], number: number, dtype: DType = 'float32'): ProgramValue => ({
  shape,
  dtype,
  layout: 'plain',
  external: number,
});

/** x → x through many steps over the arena. */
function chain(steps: number, length: number): ProgramSpec {
  const bytes = Math.ceil((4 * length) / 64) * 64;
  const inArena = [0, bytes].map(
    (offset): ProgramValue => ({ shape: [length], dtype: 'float32', layout: 'plain', offset }),
  );
  return {
    values: [external([length], 0), ...inArena, external([length], 1)],
    steps: Array.from({ length: steps }, (_, i) => ({
      operator: 'relu',
      inputs: [i === 0 ? 0 : 1 + ((i - 1) % 2)],
      outputs: [i === steps - 1 ? 3 : 1 + (i % 2)],
      attributes: {},
    })),
    externals: 2,
    arenaBytes: 2 * bytes,
    threads: 2,
  };
}

function code(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return (error as { code?: unknown }).code;
  }
  return undefined;
}

const rejection = (promise: Promise<void>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: { code?: unknown }) => error.code,
  );

/** Elements per step that take either backend a good part of a millisecond. */
const lengths = { native: 200_000, reference: 5_000 } as const;

describe.each(backends.map((backend) => ({ name: backend.name, backend })))('programs on $name', ({ backend }) => {
  const length = lengths[backend.name];

  test('sync and async runs give the same', async () => {
    const program = backend.compile(chain(5, 100));
    const x = Float32Array.from({ length: 100 }, (_, i) => i - 50);
    const [a, b] = [new Float32Array(100), new Float32Array(100)];
    program.runSync([x, a]);
    await program.run([x, b]);
    expect(a).toEqual(x.map((v) => Math.max(v, 0)));
    expect(b).toEqual(a);
    expect(program.profile()).toHaveLength(5);
    expect(program.describe()).toHaveLength(5);
    program.dispose();
  });

  test('the event loop runs while a program does', async () => {
    const program = backend.compile(chain(200, length));
    let turns = 0;
    const count = () => {
      turns++;
      next = setImmediate(count);
    };
    let next = setImmediate(count);
    // On a busy machine this thread may not get a turn before one run is over; of a run that blocks it gets none ever.
    for (let run = 0; run < 100 && turns === 0; run++) {
      await program.run([new Float32Array(length), new Float32Array(length)]);
    }
    clearImmediate(next);
    expect(turns).toBeGreaterThan(0);
    program.dispose();
  });

  test('cancel: ERR_ABORTED, and the program runs again', async () => {
    const program = backend.compile(chain(1000, length));
    const arrays = [new Float32Array(length), new Float32Array(length)];
    const running = rejection(program.run(arrays));
    setImmediate(() => program.cancel());
    expect(await running).toBe('ERR_ABORTED');
    program.cancel(); // idle: nothing
    await program.run(arrays);
    program.dispose();
  });

  test('a second run while one is going: ERR_BUSY', async () => {
    const program = backend.compile(chain(200, length));
    const arrays = [new Float32Array(length), new Float32Array(length)];
    const first = rejection(program.run(arrays));
    expect(await rejection(program.run(arrays))).toBe('ERR_BUSY');
    expect(code(() => program.runSync(arrays))).toBe('ERR_BUSY');
    expect(await first).toBeUndefined();
    program.dispose();
  });

  test('after dispose: ERR_DISPOSED', async () => {
    const program = backend.compile(chain(1, 4));
    program.dispose();
    program.dispose();
    const arrays = [new Float32Array(4), new Float32Array(4)];
    expect(code(() => program.runSync(arrays))).toBe('ERR_DISPOSED');
    expect(await rejection(program.run(arrays))).toBe('ERR_DISPOSED');
  });

  test('arrays of another number, type, length, or detached', async () => {
    const program = backend.compile(chain(1, 4));
    const y = new Float32Array(4);
    const detached = new Float32Array(4);
    structuredClone(detached.buffer, { transfer: [detached.buffer] });
    const table: readonly [readonly TypedArray[], ErrorCode][] = [
      [[y], 'ERR_DATA'],
      [[new Float64Array(4), y], 'ERR_DTYPE'],
      [[new Float32Array(3), y], 'ERR_DATA'],
      [[new Float32Array(5), y], 'ERR_DATA'],
      [[detached, y], 'ERR_DATA'],
    ];
    for (const [arrays, expected] of table) {
      expect(code(() => program.runSync(arrays))).toBe(expected);
      expect(await rejection(program.run(arrays))).toBe(expected);
    }
    program.dispose();
  });

  test('an unknown operator: ERR_BACKEND', () => {
    const spec = chain(1, 4);
    const steps = spec.steps.map((step) => ({ ...step, operator: 'toString' }));
    expect(code(() => backend.compile({ ...spec, steps }))).toBe('ERR_BACKEND');
  });

  // Labels and indices are data: they are looked at when the program runs, before anything is written.
  const entropy: Attributes = { ignoreIndex: 1, labelSmoothing: 0, reduction: 'none' };
  const outOfRange: readonly [string, ProgramValue[], number[], Attributes][] = [
    ['crossEntropy', [external([2, 3], 0), external([2], 1, 'int32'), external([2], 2)], [0, 1, -1], entropy],
    [
      'crossEntropyBackward',
      [external([2], 0), external([2], 1, 'int32'), external([2, 3], 2), external([2, 3], 3)],
      [0, 2, 1, -1],
      entropy,
    ],
    ['gather', [external([2, 3], 0), external([2], 1, 'int32'), external([2, 3], 2)], [0, 1, -1, -1], { scale: 1 }],
    ['gatherLabels', [external([3], 0, 'int32'), external([2], 1, 'int32'), external([2], 2, 'int32')], [0, 1], {}],
  ];
  for (const [operator, values, inputs, attributes] of outOfRange) {
    test(`${operator}: labels or indices out of range are ERR_DATA, and nothing is written`, async () => {
      const output = values.length - 1;
      const steps = [{ operator, inputs, outputs: [output], attributes }];
      const program = backend.compile({ values, steps, externals: values.length, arenaBytes: 0, threads: 1 });
      for (const wrong of [-1, 3, 2 ** 31 - 1, -(2 ** 31)]) {
        const arrays = values.map(({ shape, dtype }, i) => {
          const length = shape.reduce((a, b) => a * b, 1);
          if (i === 1) return Int32Array.from([0, wrong]);
          return (dtype === 'int32' ? new Int32Array(length) : new Float32Array(length)).fill(7);
        });
        expect(
          code(() => program.runSync(arrays)),
          `${wrong}`,
        ).toBe('ERR_DATA');
        expect(await rejection(program.run(arrays)), `${wrong}`).toBe('ERR_DATA');
        expect([...(arrays[output] as TypedArray)].every((v) => v === 7)).toBe(true);
      }
      program.dispose();
    });
  }
});
