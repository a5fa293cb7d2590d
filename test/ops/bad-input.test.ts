import { describe, expect, test } from 'vitest';
import { namedBackend, useBackend } from '../../lib/backend/select.js';
import { type ErrorCode, FoveaError, ops, Tensor, tensor, vjp } from '../../lib/index.js';
import { Random } from '../../lib/random.js';
import { expectError, integers, onBackends } from './helpers.js';

// Every operator checks its operands before anything is allocated or computed, and says what is wrong with both sides.

/** Operators without their types: bad input is what types do not let through. */
const untyped = new Map<string, unknown>(Object.entries(ops));
const call =
  (name: string, ...args: unknown[]) =>
  () =>
    Reflect.apply(untyped.get(name) as (...args: unknown[]) => unknown, undefined, args);

/** A tensor whose buffer was transferred to somebody else after it was made. */
function detached(shape: readonly number[]): Tensor {
  const x = Tensor.zeros(shape);
  structuredClone(x.data.buffer, { transfer: [x.data.buffer as ArrayBuffer] });
  return x;
}

const x = integers([1, 4, 6, 6]);
const w = integers([4, 4, 3, 3]);
const row = integers([2, 4]);
const labels = (...values: number[]) => new Tensor([values.length], Int32Array.from(values));

const cases: readonly [what: string, body: () => unknown, code: ErrorCode, message: RegExp][] = [
  ['wrong rank', call('conv2d', row, w), 'ERR_SHAPE', /x must be \[N, C, H, W\] \(rank 4\), got \[2, 4\]/],
  ['wrong rank', call('maxPool2d', row, { kernelSize: 2 }), 'ERR_SHAPE', /rank 4/],
  ['wrong rank', call('batchNorm', tensor([1]), null, null, { training: true }), 'ERR_SHAPE', /rank 1/],
  ['channels', call('conv2d', x, integers([4, 3, 3, 3])), 'ERR_SHAPE', /weight expects 3 input channels, input has 4/],
  ['features', call('linear', row, integers([3, 5])), 'ERR_SHAPE', /weight expects 5 features, x has 4/],
  ['inner sizes', call('matmul', row, row), 'ERR_SHAPE', /a has 4 columns, b has 2 rows/],
  [
    'groups that do not divide',
    call('conv2d', x, w, null, { groups: 3 }),
    'ERR_SHAPE',
    /3 groups do not divide 4 input channels/,
  ],
  [
    'size zero',
    call('conv2d', integers([1, 4, 0, 6]), w),
    'ERR_SHAPE',
    /input \[1, 4, 0, 6\] has an axis without elements/,
  ],
  ['size zero', call('maxPool2d', x, { kernelSize: 0 }), 'ERR_OPTION', /kernelSize must be a whole number >= 1, got 0/],
  ['size zero', call('adaptiveAvgPool2d', x, 0), 'ERR_OPTION', /outputSize must be a whole number >= 1, got 0/],
  [
    'negative size',
    call('conv2d', x, w, null, { stride: -1 }),
    'ERR_OPTION',
    /stride must be a whole number >= 1, got -1/,
  ],
  [
    'negative size',
    call('conv2d', x, w, null, {
      padding: [
        [0, -1],
        [0, 0],
      ],
    }),
    'ERR_OPTION',
    /padding must be a whole number >= 0, got -1/,
  ],
  ['negative size', call('im2col', x, -2), 'ERR_OPTION', /kernelSize must be a whole number >= 1, got -2/],
  [
    'fractional size',
    call('avgPool2d', x, { kernelSize: 1.5 }),
    'ERR_OPTION',
    /kernelSize must be a whole number >= 1, got 1\.5/,
  ],
  [
    'fractional size',
    call('conv2d', x, w, null, { dilation: [1, 0.5] }),
    'ERR_OPTION',
    /dilation must be a whole number >= 1, got 0\.5/,
  ],
  [
    'enormous size',
    call('conv2d', x, w, null, { padding: 1e5 }),
    'ERR_MEMORY',
    /the padded input .* at most 2147483647 are possible/,
  ],
  [
    'enormous size',
    call('conv2d', x, w, null, { padding: 1e300 }),
    'ERR_OPTION',
    /padding must be a whole number between 0 and 2147483647/,
  ],
  [
    'enormous size',
    call('conv2d', x, w, null, { dilation: 2147483647, padding: 'full' }),
    'ERR_MEMORY',
    /the padded input/,
  ],
  ['enormous size', call('adaptiveAvgPool2d', x, 1e5), 'ERR_MEMORY', /the output \[1, 4, 100000, 100000\]/],
  ['enormous size', call('col2im', integers([1, 4, 4]), 1e6, 2), 'ERR_MEMORY', /the padded input/],
  [
    'kernel larger than the padded input',
    call('conv2d', x, integers([1, 4, 9, 1]), null, { padding: 1 }),
    'ERR_SHAPE',
    /the kernel spans 9 rows, the padded input has 6 \+ 2·1 = 8/,
  ],
  [
    'kernel larger than the padded input',
    call('avgPool2d', x, { kernelSize: 7 }),
    'ERR_SHAPE',
    /the kernel spans 7 rows/,
  ],
  ['NaN', call('conv2d', x, w, null, { stride: Number.NaN }), 'ERR_OPTION', /stride .* got NaN/],
  ['NaN', call('conv2d', x, w, null, { groups: Number.NaN }), 'ERR_OPTION', /groups .* got NaN/],
  ['NaN', call('dropout', x, { p: Number.NaN }), 'ERR_OPTION', /p must be a number between 0 and 1, got NaN/],
  [
    'NaN',
    call('batchNorm', x, null, null, { training: true, momentum: Number.NaN }),
    'ERR_OPTION',
    /momentum .* got NaN/,
  ],
  [
    'NaN',
    call('crossEntropy', row, labels(0, 1), { labelSmoothing: Number.NaN }),
    'ERR_OPTION',
    /labelSmoothing .* got NaN/,
  ],
  [
    'detached',
    call('conv2d', detached([1, 4, 6, 6]), w),
    'ERR_DATA',
    /the array of x \[1, 4, 6, 6\] is detached: its buffer was transferred/,
  ],
  ['detached', call('linear', row, integers([3, 4]), detached([3])), 'ERR_DATA', /the array of bias \[3\] is detached/],
  ['detached', call('conv2dBackward', detached([1, 4, 4, 4]), x, w), 'ERR_DATA', /the array of gradOutput/],
  ['wrong type', call('relu', Tensor.zeros([2], 'int32')), 'ERR_DTYPE', /x must be float32 or float64, got int32/],
  [
    'wrong type',
    call('conv2d', x, integers([4, 4, 3, 3], 1, 'float64')),
    'ERR_DTYPE',
    /weight is float64, x is float32; both must be the same/,
  ],
  [
    'wrong type',
    call('crossEntropy', row, tensor([0, 1])),
    'ERR_DTYPE',
    /labels must be int32 class numbers, got float32/,
  ],
  ['no tensor', call('conv2d', [[1]], w), 'ERR_DTYPE', /x must be a Tensor, got \[\[1\]\]; tensor\(values\) makes one/],
  ['no tensor', call('add', x), 'ERR_DTYPE', /b must be a Tensor, got undefined/],
  ['no tensor', call('matmul', x, new Float32Array(4)), 'ERR_DTYPE', /b must be a Tensor, got Float32Array/],
  ['labels out of range', call('crossEntropy', row, labels(0, 4)), 'ERR_DATA', /label 4 at index 1 is outside 0 … 3/],
  ['labels out of range', call('crossEntropy', row, labels(-1, 0)), 'ERR_DATA', /label -1 at index 0 is outside 0 … 3/],
  [
    'unknown option',
    call('conv2d', x, w, null, { paddding: 1 }),
    'ERR_OPTION',
    /unknown option "paddding"; did you mean "padding"\?/,
  ],
  ['options that are none', call('softmax', x, 1), 'ERR_OPTION', /options must be an object like \{ dim: … \}, got 1/],
];

onBackends(() => {
  cases.forEach(([what, body, code, message], i) => {
    test(`${what} (${i + 1})`, () => expectError(body, code, message));
  });

  test('the same checks while a function is traced', () => {
    expectError(
      () => vjp((v) => ops.conv2d(v, integers([4, 3, 3, 3])), [x]),
      'ERR_SHAPE',
      /^conv2d: weight expects 3 input channels/,
    );
    expectError(
      () => vjp((v) => ops.maxPool2d(v, { kernelSize: 9 }), [x]),
      'ERR_SHAPE',
      /^maxPool2d: the kernel spans 9 rows/,
    );
  });

  test('an array that was cut short after the tensor was made', () => {
    const buffer: ArrayBuffer & { resize?(bytes: number): void } = Reflect.construct(ArrayBuffer, [
      64,
      { maxByteLength: 64 },
    ]);
    const short = new Tensor([16], new Float32Array(buffer)); // tracks the length of the buffer
    buffer.resize?.(32);
    expectError(() => ops.relu(short), 'ERR_DATA', /the array of x \[16\] has 8 elements now/);
  });

  test('nothing is allocated for what is refused', () => {
    const before = process.memoryUsage().arrayBuffers;
    for (const [, body] of cases) expect(body).toThrow(FoveaError);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1e6);
  });
});

describe('arguments at random', () => {
  // Sizes are small or hopeless: what lies between would be allocated.
  const sizes = [0, 1, 2, 3, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31 - 1, 2 ** 31, 2 ** 53, -(2 ** 40)];
  const words = ['same', 'full', 'valid', 'circular', 'reflect', 'sum', '', '3'];
  const names = [
    'kernelSize',
    'stride',
    'padding',
    'dilation',
    'groups',
    'paddingMode',
    'mode',
    'dim',
    'dims',
    'p',
    'seed',
    'eps',
  ];
  const shapes = [
    [],
    [0],
    [3],
    [2, 3],
    [0, 3],
    [1, 2, 4],
    [1, 2, 4, 4],
    [2, 1, 1, 3],
    [4, 2, 3, 3],
    [1, 0, 4, 4],
    [1, 1, 1, 1, 1],
  ];
  const dtypes = ['float32', 'float32', 'float32', 'float64', 'int32', 'uint8'] as const;

  function argument(random: Random): unknown {
    const pick = <T>(list: readonly T[]): T => list[random.integer(list.length)] as T;
    const scalar = (): unknown =>
      random.uniform() < 0.7 ? pick(sizes) : pick([...words, null, undefined, true, {}, Symbol('x'), 10n, () => 1]);
    const list = (): unknown => Array.from({ length: random.integer(4) }, scalar);
    const kind = random.uniform();
    if (kind < 0.6) return integers(pick(shapes), random.integer(9), pick(dtypes));
    if (kind < 0.65) return detached(pick(shapes));
    if (kind < 0.75) return scalar();
    if (kind < 0.8) return list();
    const value = () => pick([scalar, list, () => [list(), list()], () => integers(pick(shapes))])();
    return Object.fromEntries(Array.from({ length: random.integer(4) }, () => [pick(names), value()]));
  }

  for (const backend of ['reference', 'native'] as const) {
    test(`every operator gives a value or a FoveaError (${backend})`, (t) => {
      try {
        namedBackend(backend);
      } catch (error) {
        t.skip((error as Error).message);
      }
      useBackend(backend);
      for (const name of untyped.keys()) {
        for (let seed = 0; seed < 150; seed++) {
          const random = new Random(seed);
          const args = Array.from({ length: 1 + random.integer(4) }, () => argument(random));
          try {
            call(name, ...args)();
          } catch (error) {
            if (!(error instanceof FoveaError))
              throw new Error(`${name}, seed ${seed}: ${String(error)}`, { cause: error });
          }
        }
      }
    });
  }
});
