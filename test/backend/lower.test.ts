import assert from 'node:assert/strict';
import { test } from 'vitest';
import { alignment, placeIntervals } from '../../lib/backend/arena.js';
import type { Backend, OperandLayouts, ProgramSpec, ProgramStep, ProgramValue } from '../../lib/backend/backend.js';
import { bytesOf } from '../../lib/backend/layout.js';
import { lower, type Program } from '../../lib/backend/lower.js';
import { findNative } from '../../lib/backend/native.js';
import { referenceBackend } from '../../lib/backend/reference/index.js';
import { Random } from '../../lib/random.js';
import { sizeOf } from '../../lib/tensor.js';

const letters: ReadonlyMap<string, OperandLayouts> = new Map([
  ['conv2d', { inputs: 'XPP', outputs: 'B' }],
  ['conv2dGradWeight', { inputs: 'XB', outputs: 'PP' }],
  ['maxPool2d', { inputs: 'B', outputs: 'BB' }],
  ['batchNormInfer', { inputs: 'EPPPPE', outputs: 'E' }],
  ['batchNormTrainBackward', { inputs: 'EEEPPPP', outputs: 'EPPE' }],
  ['relu', { inputs: 'E', outputs: 'E' }],
  ['add', { inputs: 'EE', outputs: 'E' }],
  ['linear', { inputs: 'PPP', outputs: 'P' }],
  ['sumTo', { inputs: 'P', outputs: 'P' }],
]);

/** Their outputs may take the memory of operands that are read for the last time. */
const elementwise: ReadonlySet<string> = new Set(['relu', 'add']);

type Line = readonly [operator: string, inputs: readonly number[], outputs: readonly number[]];

/** Shapes, external numbers by value, and steps: a program in a few lines. */
function program(
  shapes: readonly (readonly number[])[],
  externals: readonly number[],
  lines: readonly Line[],
): Program {
  return {
    values: shapes.map((shape, i) => {
      const external = externals.indexOf(i);
      return { shape, dtype: 'float32' as const, ...(external < 0 ? {} : { external }) };
    }),
    steps: lines.map(([operator, inputs, outputs]) => ({ operator, inputs, outputs, attributes: {} })),
    externals: externals.length,
  };
}

/** Steps as `conv2d(plain, plain) -> blocked`. */
function printed(spec: ProgramSpec): string[] {
  const layout = (id: number) => spec.values[id]?.layout ?? '-';
  return spec.steps.map(
    ({ operator, inputs, outputs }) => `${operator}(${inputs.map(layout)}) -> ${outputs.map(layout)}`,
  );
}

const image = [2, 32, 8, 8];

test('without letters everything stays plain and nothing is inserted', () => {
  const spec = lower(
    program(
      [image, image, image],
      [0, 2],
      [
        ['relu', [0], [1]],
        ['relu', [1], [2]],
      ],
    ),
    new Map(),
    3,
  );
  assert.deepEqual(printed(spec), ['relu(plain) -> plain', 'relu(plain) -> plain']);
  assert.equal(spec.threads, 3);
  assert.equal(spec.arenaBytes, sizeOf(image) * 4);
});

test('a value is converted once for all readers, before the first', () => {
  const lines: Line[] = [
    ['conv2d', [0, 1, -1], [2]],
    ['relu', [2], [3]],
    ['conv2d', [3, 1, -1], [4]],
    ['conv2d', [0, 1, -1], [5]],
  ];
  const spec = lower(program([image, [32, 32, 1, 1], image, image, image, image], [0, 1, 4, 5], lines), letters, 0);
  assert.deepEqual(printed(spec), [
    'reorder(plain) -> blocked',
    'conv2d(blocked,plain,-) -> blocked',
    'relu(blocked) -> blocked',
    'conv2d(blocked,plain,-) -> blocked',
    'reorder(blocked) -> plain',
    'conv2d(blocked,plain,-) -> blocked',
    'reorder(blocked) -> plain',
  ]);
});

test('a stem of up to four channels is read plain', () => {
  const lines: Line[] = [
    ['conv2d', [0, 1, -1], [2]],
    ['conv2dGradWeight', [0, 2], [3, -1]],
  ];
  const spec = lower(
    program(
      [
        [2, 3, 8, 8],
        [16, 3, 1, 1],
        [2, 16, 8, 8],
        [16, 3, 1, 1],
      ],
      [0, 1, 3],
      lines,
    ),
    letters,
    0,
  );
  assert.deepEqual(printed(spec), ['conv2d(plain,plain,-) -> blocked', 'conv2dGradWeight(plain,blocked) -> plain,-']);
});

test('operands that must be alike take the layout with fewer conversions', () => {
  const shapes = [image, image, image, [1, 32, 1, 1], image, image];
  const lines: Line[] = [
    ['relu', [0], [1]],
    ['add', [1, 0], [2]],
    ['add', [2, 3], [4]],
    ['maxPool2d', [4], [5, -1]],
  ];
  const spec = lower(program(shapes, [0, 3], lines), letters, 0);
  assert.deepEqual(printed(spec), [
    'relu(plain) -> plain',
    'add(plain,plain) -> plain',
    'add(plain,plain) -> plain', // shapes differ
    'reorder(plain) -> blocked',
    'maxPool2d(blocked) -> blocked,-',
  ]);
});

test('reshape is an alias where it can be', () => {
  const flat = [2, 2048];
  const shapes = [image, [32, 32, 1, 1], image, flat, [10, 2048], [2, 10]];
  const lines: Line[] = [
    ['conv2d', [0, 1, -1], [2]],
    ['reshape', [2], [3]],
    ['linear', [3, 4, -1], [5]],
  ];
  const spec = lower(program(shapes, [0, 1, 4, 5], lines), letters, 0);
  assert.deepEqual(printed(spec).slice(1), [
    'conv2d(blocked,plain,-) -> blocked',
    'reorder(blocked) -> plain',
    'linear(plain,plain,-) -> plain',
  ]);
});

test('one pixel and whole blocks need no conversion at all', () => {
  const shapes = [image, [2, 32, 1, 1], [2, 32], [10, 32], [2, 10]];
  const lines: Line[] = [
    ['maxPool2d', [0], [1, -1]],
    ['reshape', [1], [2]],
    ['linear', [2, 3, -1], [4]],
  ];
  const spec = lower(program(shapes, [0, 3, 4], lines), letters, 0);
  assert.deepEqual(printed(spec), [
    'reorder(plain) -> blocked',
    'maxPool2d(blocked) -> blocked,-',
    'linear(plain,plain,-) -> plain',
  ]);
});

test('a reshape into an external stays a copy', () => {
  const spec = lower(program([image, [2, 2048]], [0, 1], [['reshape', [0], [1]]]), letters, 0);
  assert.deepEqual(printed(spec), ['reshape(plain) -> plain']);
});

test('a reshape of memory that is overwritten before the alias is read stays a copy', () => {
  const update: Line = ['sgdUpdate', [0], [0]];
  const read: Line = ['sumTo', [1], [2]];
  const shapes = [[4, 2], [8], [8]];
  const late = lower(program(shapes, [0, 2], [['reshape', [0], [1]], update, read]), letters, 0);
  assert.deepEqual(
    late.steps.map((step) => step.operator),
    ['reshape', 'sgdUpdate', 'sumTo'],
  );
  const early = lower(program(shapes, [0, 2], [['reshape', [0], [1]], read, update]), letters, 0);
  assert.deepEqual(
    early.steps.map((step) => step.operator),
    ['sumTo', 'sgdUpdate'],
  );
});

test('elementwise operators write over operands that nothing reads later', () => {
  const lines: Line[] = [
    ['relu', [0], [1]],
    ['relu', [1], [2]],
    ['add', [1, 2], [3]],
    ['sumTo', [3], [4]],
  ];
  const spec = lower(program([image, image, image, image, [1]], [0, 4], lines), letters, 0);
  const offsets = [1, 2, 3].map((id) => spec.values[id]?.offset);
  assert.notEqual(offsets[1], offsets[0]); // which the addition still reads
  assert.equal(offsets[2], offsets[0]);
  assert.equal(spec.arenaBytes, 2 * sizeOf(image) * 4);
  const shapes = [image, image, [1, 32, 1, 1], image, [1]];
  const broadcast = lower(
    program(
      shapes,
      [0, 4],
      [
        ['relu', [0], [1]],
        ['sumTo', [1], [2]],
        ['add', [2, 1], [3]],
        ['sumTo', [3], [4]],
      ],
    ),
    letters,
    0,
  );
  assert.equal(broadcast.values[3]?.offset, broadcast.values[1]?.offset);
  assert.notEqual(broadcast.values[3]?.offset, broadcast.values[2]?.offset);
});

test('the gradients of a normalisation take the memory of what it read', () => {
  // dy, x, y, mean, invStd, dx and the masked gradient; then a reader of both
  const shapes = [image, image, image, [32], [32], image, image, image];
  const steps = (after: readonly Line[]): Line[] => [
    ['relu', [7], [0]],
    ['relu', [7], [1]],
    ['relu', [7], [2]],
    ['batchNormTrainBackward', [0, 1, 2, -1, 3, 4], [5, -1, -1, 6]],
    ['add', [5, 6], [7]],
    ...after,
  ];
  const placesOf = (after: readonly Line[]) => {
    const spec = lower(program(shapes, [3, 4, 7], steps(after)), letters, 0);
    return { offsets: spec.values.map(({ offset }) => offset), images: spec.arenaBytes / sizeOf(image) / 4 };
  };
  const none = placesOf([]);
  assert.deepEqual([none.offsets[6], none.offsets[5]], [none.offsets[0], none.offsets[1]]);
  assert.equal(none.images, 3);
  const kept = placesOf([['add', [0, 0], [7]]]); // dy is read later: the masked gradient lies where y was
  assert.deepEqual([kept.offsets[6], kept.offsets[5]], [kept.offsets[2], kept.offsets[1]]);
  assert.equal(kept.images, 3);
  const all = placesOf([
    ['add', [0, 1], [7]],
    ['add', [1, 2], [7]],
  ]);
  assert.equal(all.images, 5);
});

test('reading what was never written is refused', () => {
  assert.throws(() => lower(program([image, image], [1], [['relu', [0], [1]]]), letters, 0), { code: 'ERR_GRAPH' });
});

test('blocked values take whole blocks', () => {
  assert.equal(bytesOf({ shape: [2, 17, 3, 5], dtype: 'float32' }, 'blocked'), 2 * 32 * 3 * 5 * 4);
  assert.equal(bytesOf({ shape: [2, 17, 3, 5], dtype: 'uint8' }, 'plain'), 2 * 17 * 3 * 5);
});

test('intervals that live together never overlap, and dead memory is used again', () => {
  const random = new Random(7);
  for (let round = 0; round < 100; round++) {
    const unit = round % 2 === 0 ? 1 : 1000; // large ones move to where less of them crosses
    const intervals = Array.from({ length: 1 + random.integer(40) }, () => {
      const from = random.integer(30);
      return { bytes: random.integer(4) === 0 ? 0 : unit * random.integer(5000), from, to: from + random.integer(8) };
    });
    const { offsets, bytes } = placeIntervals(intervals);
    intervals.forEach((a, i) => {
      assert.equal((offsets[i] as number) % alignment, 0);
      assert.ok((offsets[i] as number) + a.bytes <= bytes);
      intervals.slice(0, i).forEach((b, j) => {
        const together = a.from <= b.to && b.from <= a.to && a.bytes > 0 && b.bytes > 0;
        const [p, q] = [offsets[i] as number, offsets[j] as number];
        assert.ok(!together || p + a.bytes <= q || q + b.bytes <= p, `round ${round}: ${i} and ${j}`);
      });
    });
  }
  const chain = Array.from({ length: 10 }, (_, i) => ({ bytes: 64, from: i, to: i + 1 }));
  assert.equal(placeIntervals(chain).bytes, 128);
});

test('an arena may be larger than 32 bits count', () => {
  const intervals = [1, 2, 3].map((from) => ({ bytes: 2 ** 38, from, to: from + 1 }));
  assert.deepEqual(placeIntervals(intervals), { offsets: [0, 2 ** 38, 0], bytes: 2 ** 39 });
});

test('what follows in one place has its middle there, so that each half of the cores keeps its side', () => {
  const kilobytes = [6400, 1600, 3200, 800, 800]; // a convolution, a pool, a convolution, a pool, a conversion
  const intervals = kilobytes.map((size, i) => ({ bytes: size * 1024, from: i, to: i + 1 }));
  const { offsets, bytes } = placeIntervals(intervals);
  const middle = (i: number) => (offsets[i] as number) + (intervals[i] as { bytes: number }).bytes / 2;
  assert.equal(bytes, 8000 * 1024);
  assert.equal(middle(2), middle(0));
  assert.equal(middle(3), middle(1));
});

// Random programs over images, run step by step with each value in memory of its own: what lower() makes of them must give
// the same results, and must not let two values share memory while both are needed.
for (let seed = 0; seed < 40; seed++) {
  test(`random program, seed ${seed}`, () => {
    const source = randomProgram(new Random(seed));
    const spec = lower(source, letters, 0);
    checkLifetimes(spec);
    for (const value of spec.values) if (value.external !== undefined) assert.equal(value.layout, 'plain');
    const expected = run(referenceBackend, separately(source));
    assert.deepEqual(run(referenceBackend, lower(source, new Map(), 0)), expected);
    const { backend: native } = findNative();
    if (native) assert.deepEqual(run(native, lower(source, native.layouts, 2)), expected);
  });
}

function randomProgram(random: Random): Program {
  const shapes: number[][] = [image, [2, 2048]];
  const lines: Line[] = [];
  const pick = (wanted: (shape: number[]) => boolean) => {
    const found = shapes.flatMap((shape, i) => (wanted(shape) ? [i] : []));
    return found[random.integer(found.length)] as number;
  };
  for (let i = 0; i < 12; i++) {
    const a = pick(() => true);
    const shape = shapes[a] as number[];
    const out = shapes.length;
    const kind = random.integer(4);
    if (kind === 0) lines.push(['add', [a, pick((other) => String(other) === String(shape))], [out]]);
    else if (kind === 1) lines.push(['relu', [a], [out]]);
    else if (kind === 2) lines.push(['reshape', [a], [out]]);
    else lines.push(['sumTo', [a], [out]]);
    shapes.push(kind === 2 ? (shape.length === 4 ? [2, 2048] : image) : shape);
    if (random.integer(5) === 0) lines.push(['assign', [out], [(shape.length === 4) === (kind !== 2) ? 0 : 1]]);
  }
  const made = shapes.map((_, i) => i).filter((i) => i > 1 && random.integer(3) === 0);
  const built = program(shapes, [0, 1, ...new Set([...made, shapes.length - 1])], lines);
  const attributes = (step: ProgramStep) => ({ shape: shapes[step.outputs[0] as number] as number[] });
  return { ...built, steps: built.steps.map((step) => ({ ...step, attributes: attributes(step) })) };
}

/** Every value at a place of its own and every step as written. */
function separately(source: Program): ProgramSpec {
  let arenaBytes = 0;
  const values = source.values.map((value): ProgramValue => {
    if (value.external !== undefined) return { ...value, layout: 'plain' };
    const offset = arenaBytes;
    arenaBytes += bytesOf(value, 'plain');
    return { ...value, layout: 'plain', offset };
  });
  return { values, steps: source.steps, externals: source.externals, arenaBytes, threads: 0 };
}

function run(backend: Backend, spec: ProgramSpec): Float32Array[] {
  const random = new Random(1);
  const externals = Array.from({ length: spec.externals }, (_, number) => {
    const value = spec.values.find((candidate) => candidate.external === number) as ProgramValue;
    return Float32Array.from({ length: sizeOf(value.shape) }, () => random.integer(9) - 4);
  });
  const program = backend.compile(spec);
  program.runSync(externals);
  program.dispose();
  return externals;
}

function checkLifetimes(spec: ProgramSpec): void {
  const last = spec.values.map((_, id) => spec.steps.findLastIndex((step) => step.inputs.includes(id)));
  const first = spec.values.map((_, id) => spec.steps.findIndex((step) => step.outputs.includes(id)));
  spec.values.forEach((a, i) => {
    if (a.offset === undefined || first[i] === -1) return;
    assert.ok(a.offset + bytesOf(a, a.layout) <= spec.arenaBytes);
    spec.values.forEach((b, j) => {
      // b is written while a is waiting to be read
      const written = first[j] as number;
      if (i === j || b.offset === undefined || written < (first[i] as number) || written > (last[i] as number)) return;
      const inPlace =
        elementwise.has(spec.steps[written]?.operator ?? '') && written === last[i] && a.offset === b.offset;
      if (inPlace) return;
      const apart =
        b.offset + bytesOf(b, b.layout) <= (a.offset ?? 0) || (a.offset ?? 0) + bytesOf(a, a.layout) <= b.offset;
      assert.ok(apart, `value ${j} written at step ${written} over value ${i}, read at ${last[i]}`);
    });
  });
}
