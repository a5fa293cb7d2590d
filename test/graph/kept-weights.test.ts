import { freemem } from 'node:os';
import { describe, expect, test } from 'vitest';
import type { Precision } from '../../lib/backend/backend.js';
import { findNative } from '../../lib/backend/native.js';
import { compileGraph, type Executable } from '../../lib/graph/executable.js';
import { fuse } from '../../lib/graph/fuse.js';
import type { Graph } from '../../lib/graph/graph.js';
import type { Weights } from '../../lib/graph/program.js';
import { trace } from '../../lib/graph/trace.js';
import { add } from '../../lib/ops/add.js';
import { batchNorm } from '../../lib/ops/batch-norm.js';
import { conv2d } from '../../lib/ops/conv2d.js';
import { mul } from '../../lib/ops/mul.js';
import type { Traced, Value } from '../../lib/ops/operator.js';
import { relu } from '../../lib/ops/relu.js';
import { Tensor } from '../../lib/tensor.js';
import { sameBits } from '../helpers/run.js';

const native = findNative().backend;
const randn = (shape: number[], seed: number) => Tensor.randn(shape, { seed });

interface Layer {
  readonly name: string;
  readonly x: readonly number[];
  readonly filters: number;
  readonly kernel: number;
  readonly groups?: number;
  /** Its algorithms, each with what `explain` must say of it. */
  readonly ways: Readonly<Record<string, RegExp>>;
}

// One for each place where something is kept: panels of filters, also where each task would pack its own; Winograd's filters,
// transformed first or after the tiles.
const layers: readonly Layer[] = [
  { name: 'one band', x: [2, 24, 9, 7], filters: 40, kernel: 3, ways: { brgemm: /brgemm/, bf16: /bf16/ } },
  { name: 'one image', x: [1, 64, 4, 4], filters: 80, kernel: 3, ways: { brgemm: /images 1, /, bf16: /images 1, / } },
  { name: 'a stem', x: [2, 3, 12, 10], filters: 640, kernel: 3, ways: { brgemm: /planar/, bf16: /interleaved/ } },
  { name: '1x1', x: [8, 96, 14, 14], filters: 64, kernel: 1, ways: { brgemm: /in place/, bf16: /bf16/ } },
  { name: 'moved', x: [2, 24, 9, 7], filters: 24, kernel: 3, groups: 2, ways: { brgemm: /groups moved/ } },
  {
    name: 'many tiles',
    x: [8, 48, 18, 18],
    filters: 40,
    kernel: 3,
    ways: { winograd: /filters transformed first/, 'winograd int16': /in int16.* filters transformed first/ },
  },
  {
    name: 'few tiles',
    x: [4, 96, 8, 8],
    filters: 144,
    kernel: 3,
    ways: { winograd: /input transformed first/, 'winograd int16': /in int16.* input transformed first/ },
  },
];

function parameters({ x, filters, kernel, groups = 1 }: Layer) {
  return { w: randn([filters, (x[1] as number) / groups, kernel, kernel], 1), b: randn([filters], 2) };
}

function program(graph: Graph, weights: Weights, precision: Precision = 'highest', algorithm?: string): Executable {
  const forced = graph.nodes.map((node) =>
    algorithm && node.operator.name === 'conv2d' ? { ...node, attributes: { ...node.attributes, algorithm } } : node,
  );
  return compileGraph({ ...graph, nodes: forced }, { backend: 'native', weights, precision, threads: 2 });
}

function result(of: Executable, x: Tensor): Float32Array {
  return of.runSync([x.data])[0]?.slice() as Float32Array;
}

function keptBytes(of: Executable): number {
  const [, mebibytes] = /kept of weights (\d+\.\d+)/.exec(of.explain()) ?? [];
  return Number(mebibytes ?? 0);
}

/** Of a convolution, its bias and a ReLU, whose weights are then changed in all sorts of ways. */
function checkChanges(layer: Layer, precision: Precision, algorithm: string): void {
  const { w, b } = parameters(layer);
  const options = { padding: layer.kernel === 3 ? 1 : 0, groups: layer.groups ?? 1 };
  const graph = trace((x) => relu(conv2d(x, w, b, options)), [{ shape: layer.x, dtype: 'float32' }]);
  const keeping = program(graph, 'steady', precision, algorithm);
  const plain = program(graph, 'changing', precision, algorithm);
  const x = randn([...layer.x], 3);
  const check = () => {
    const expected = result(plain, x);
    for (let run = 0; run < 3; run++) expect(sameBits(result(keeping, x), expected)).toBe(true);
    return expected;
  };
  let last = check();
  expect(keeping.explain()).toMatch(layer.ways[algorithm] as RegExp);
  expect(keptBytes(keeping)).toBeGreaterThan(0);
  expect(keptBytes(plain)).toBe(0);
  expect(sameBits(result(keeping, randn([...layer.x], 4)), last)).toBe(false);
  const negate = (which: (i: number) => boolean) => w.data.set(w.data.map((value, i) => (which(i) ? -value : value)));
  const changes: readonly (() => unknown)[] = [
    () => w.data.set([5], 0),
    () => w.data.set([5], w.data.length - 1),
    () => negate((i) => i === 16 || i === 32),
    () => negate((i) => i === 1 || i === 3),
    () => negate((i) => i === 9 || i === 13),
    () => negate((i) => i % 2 === 1),
    () => negate((i) => i % 4 === 2),
    () => negate(() => true),
    () => w.data.set(w.data.map((value) => 2 * value)),
    () => w.data.reverse(),
    () => w.data.fill(0, 3, 4),
    () => b.data.set([100], b.data.length - 1),
    () => b.data.set(b.data.map((value, i) => (i % 2 === 1 ? -value : value))),
  ];
  for (const change of changes) {
    change();
    const now = check();
    expect(sameBits(now, last)).toBe(false);
    last = now;
  }
}

describe.runIf(native)('what convolutions make of weights is kept', () => {
  for (const layer of layers) {
    for (const algorithm of Object.keys(layer.ways)) {
      test(`${layer.name}, ${algorithm}: the same bits, and every change is seen`, ({ skip }) => {
        try {
          checkChanges(layer, algorithm === 'brgemm' ? 'highest' : 'medium', algorithm);
        } catch (error) {
          if (!String(error).includes('no algorithm')) throw error;
          skip(`this CPU has no ${algorithm} for it`);
        }
      });
    }
  }

  const layer = layers.find(({ name }) => name === 'many tiles') as Layer;
  const spec = { shape: layer.x, dtype: 'float32' } as const;

  // Two convolutions whose normalisation is folded, the second after a residual.
  function normalised() {
    const { w, b } = parameters(layer);
    const state = { runningMean: randn([40], 7), runningVar: Tensor.full([40], 2) };
    const [gamma, beta, second] = [randn([40], 5), randn([40], 6), randn([40, 40, 1, 1], 8)];
    const norm = (z: Value) => batchNorm(z, gamma, beta, { ...state, training: false });
    const model = (x: Value) => {
      const y = relu(norm(conv2d(x, w, b, { padding: 1 })));
      return relu(add(norm(conv2d(y, second)), y));
    };
    return { w, gamma, state, graph: fuse(trace(model, [spec])), eager: (x: Tensor) => model(x) as Tensor };
  }

  test('batch normalisation is folded once: while nothing changes, its steps are left out', () => {
    const { w, gamma, state, graph, eager } = normalised();
    const keeping = program(graph, 'steady');
    const x = randn([...layer.x], 3);
    const folding = () => keeping.profile().filter(({ operator }) => operator === 'batchNormInfer');
    const check = () => {
      for (const times of [1, 0, 0]) {
        const y = result(keeping, x);
        const expected = eager(x).data;
        const worst = y.reduce((most, value, i) => Math.max(most, Math.abs(value - (expected[i] as number))), 0);
        expect(worst).toBeLessThan(1e-3);
        expect(folding().every(({ milliseconds }) => milliseconds > 0 === times > 0)).toBe(true);
      }
    };
    expect(folding()).toHaveLength(4);
    check();
    for (const { data } of [gamma, w, state.runningMean, state.runningVar]) {
      data[data.length - 1] = (data[data.length - 1] as number) + 3;
      check();
    }
  });

  test('where other inputs need the plain sum, all is made again', () => {
    const { w, b } = parameters(layer);
    const graph = trace((x) => conv2d(x, w, b, { padding: 1 }), [spec]);
    const [keeping, plain] = [
      program(graph, 'steady', 'highest', 'winograd'),
      program(graph, 'changing', 'highest', 'winograd'),
    ];
    const x = randn([...layer.x], 3);
    const huge = x.clone();
    huge.data.fill(1e38, 0, 64); // more than tiles of Winograd's can hold, not more than a sum
    for (const input of [x, x, huge, huge, x, x, x, huge, huge, huge, huge, huge, x, x, x, x, x, x, x]) {
      expect(sameBits(result(keeping, input), result(plain, input))).toBe(true);
    }
    expect(result(plain, huge).some((value) => Number.isFinite(value) && Math.abs(value) > 1e37)).toBe(true);
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY])('weights may be %d', (value) => {
    for (const { x: shape, filters, kernel } of layers.slice(0, 3)) {
      const w = randn([filters, shape[1] as number, kernel, kernel], 1);
      w.data[13] = value;
      const graph = trace((x) => conv2d(x, w, null, { padding: 1 }), [{ shape, dtype: 'float32' }]);
      const [keeping, plain] = [program(graph, 'steady', 'medium'), program(graph, 'changing', 'medium')];
      const x = randn([...shape], 3);
      const expected = result(plain, x);
      expect(expected.some(Number.isFinite) && !expected.every(Number.isFinite)).toBe(true);
      for (let run = 0; run < 3; run++) expect(result(keeping, x)).toEqual(expected);
    }
  });

  test('a run that is cancelled leaves nothing half made behind', async () => {
    const { w, graph } = normalised();
    const [keeping, plain] = [program(graph, 'steady'), program(graph, 'changing')];
    const x = randn([...layer.x], 3);
    let ended = 0;
    for (let i = 0; i < 60; i++) {
      w.data[i] = 1;
      const run = keeping.run([x.data]).then(
        () => ended++,
        (error: { code?: string }) => expect(error.code).toBe('ERR_ABORTED'),
      );
      const until = performance.now() + i * 0.05;
      while (performance.now() < until);
      keeping.cancel();
      await run;
      const y = result(keeping, x);
      expect(sameBits(y, result(plain, x))).toBe(true);
    }
    expect(ended).toBeLessThan(60);
  });

  test('where there is no memory to keep it, nothing is kept', ({ skip }) => {
    const channels = 24576; // filters of 20 GiB, of which 36 would be kept; they need not be there for a program to be made
    if (freemem() > 2 ** 35) skip('there is memory');
    const values = [
      { shape: [1, channels, 8, 8], dtype: 'float32', layout: 'blocked', external: 0 },
      { shape: [channels, channels, 3, 3], dtype: 'float32', layout: 'plain', external: 1 },
      { shape: [1, channels, 8, 8], dtype: 'float32', layout: 'blocked', external: 2 },
    ] as const;
    const ones = { stride: [1, 1], padding: [1, 1, 1, 1], dilation: [1, 1], groups: 1 };
    const attributes = { ...ones, flipKernel: false, paddingMode: 'zeros', activation: 'none', algorithm: 'winograd' };
    const steps = [{ operator: 'conv2d', inputs: [0, 1], outputs: [2], attributes }];
    const made = native?.compile({ values, steps, externals: 3, arenaBytes: 0, threads: 1, steady: [1] });
    expect(made?.kept?.().bytes).toBe(0);
    made?.dispose();
  });

  test('frozen weights are not looked at again', () => {
    const { w, b } = parameters(layer);
    const graph = trace((x) => conv2d(x, w, b, { padding: 1 }), [spec]);
    const frozen = program(graph, 'frozen');
    const x = randn([...layer.x], 3);
    const before = result(frozen, x);
    w.data.fill(0);
    expect(sameBits(result(frozen, x), before)).toBe(true);
    expect(frozen.explain()).not.toMatch(/what they were/);
  });

  test('nothing is kept of what the program itself changes', () => {
    const { w, b } = parameters(layer);
    const graph = trace(
      (x) => {
        (x as Traced).recorder.assign(w, mul(w as Value, Tensor.full([], 0.5)) as Traced);
        return conv2d(x, w, b, { padding: 1 });
      },
      [spec],
    );
    const steady = program(graph, 'steady');
    expect(keptBytes(steady)).toBe(0);
    const x = randn([...layer.x], 3);
    expect(sameBits(result(steady, x), result(steady, x))).toBe(false);
  });
});
