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
}

// One for each place where something is kept: panels of filters, of all or of a task's own where there is nothing to keep;
// Winograd's filters transformed first, or its tiles.
const layers: readonly Layer[] = [
  { name: 'direct', x: [2, 24, 9, 7], filters: 40, kernel: 3 },
  { name: 'direct, one task a filter', x: [1, 64, 4, 4], filters: 80, kernel: 3 },
  { name: '1x1', x: [8, 96, 14, 14], filters: 64, kernel: 1 },
  { name: 'groups that do not fill blocks', x: [2, 24, 9, 7], filters: 24, kernel: 3, groups: 2 },
  { name: 'winograd, filters first', x: [8, 48, 18, 18], filters: 40, kernel: 3 },
  { name: 'winograd, tiles first', x: [4, 96, 8, 8], filters: 144, kernel: 3 },
];

function parameters({ x, filters, kernel, groups = 1 }: Layer) {
  return { w: randn([filters, (x[1] as number) / groups, kernel, kernel], 1), b: randn([filters], 2) };
}

function program(graph: Graph, weights: Weights, precision: Precision = 'highest'): Executable {
  return compileGraph(graph, { backend: 'native', weights, precision, threads: 2 });
}

function result(of: Executable, x: Tensor): Float32Array {
  return of.runSync([x.data])[0]?.slice() as Float32Array;
}

function keptBytes(of: Executable): number {
  const [, mebibytes] = /kept of weights (\d+\.\d+)/.exec(of.explain()) ?? [];
  return Number(mebibytes ?? 0);
}

describe.runIf(native)('what convolutions make of weights is kept', () => {
  for (const precision of ['highest', 'medium'] as const) {
    for (const layer of layers) {
      test(`${layer.name}, ${precision}: the same bits, and every change is seen`, () => {
        const { w, b } = parameters(layer);
        const options = { padding: layer.kernel === 3 ? 1 : 0, groups: layer.groups ?? 1 };
        const graph = trace((x) => relu(conv2d(x, w, b, options)), [{ shape: layer.x, dtype: 'float32' }]);
        const [keeping, plain] = [program(graph, 'steady', precision), program(graph, 'changing', precision)];
        const first = randn([...layer.x], 3);
        const check = () => {
          const expected = result(plain, first);
          for (let run = 0; run < 3; run++) expect(sameBits(result(keeping, first), expected)).toBe(true);
          return expected;
        };
        const before = check();
        expect(keptBytes(keeping)).toBeGreaterThan(0);
        expect(keptBytes(plain)).toBe(0);
        expect(sameBits(result(keeping, randn([...layer.x], 4)), before)).toBe(false);
        const changes: readonly (() => unknown)[] = [
          () => w.data.set([5], 0),
          () => w.data.set([5], w.data.length - 1),
          () => w.data.set([-(w.data[16] as number), -(w.data[32] as number)], 16),
          () => w.data.set(w.data.map((value) => -value)),
          () => b.data.set([100], b.data.length - 1),
        ];
        let last = before;
        for (const change of changes) {
          change();
          const now = check();
          expect(sameBits(now, last)).toBe(false);
          last = now;
        }
      });
    }
  }

  const layer = layers[4] as Layer;
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
    const { graph } = normalised();
    const [keeping, plain] = [program(graph, 'steady'), program(graph, 'changing')];
    const x = randn([...layer.x], 3);
    const huge = x.clone();
    huge.data.fill(1e38, 0, 64); // more than tiles of Winograd's can hold, not more than a sum
    const expected = result(plain, x);
    for (const input of [x, x, huge, huge, x, x]) {
      const y = result(keeping, input);
      expect(sameBits(y, input === x ? expected : result(plain, input))).toBe(true);
    }
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY])('weights may be %d', (value) => {
    for (const { x: shape, filters, kernel } of layers.slice(0, 2)) {
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
    for (let i = 0; i < 20; i++) {
      w.data[i] = 1;
      const run = keeping.run([x.data]).catch((error: { code?: string }) => expect(error.code).toBe('ERR_ABORTED'));
      keeping.cancel();
      await run;
      const y = result(keeping, x);
      expect(sameBits(y, result(plain, x))).toBe(true);
    }
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
