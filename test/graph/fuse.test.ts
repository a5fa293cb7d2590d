import assert from 'node:assert/strict';
import { test } from 'vitest';
import { differentiate, gradients } from '../../lib/graph/differentiate.js';
import { compileGraph } from '../../lib/graph/executable.js';
import { foldBatchNorm } from '../../lib/graph/fold.js';
import { fuse } from '../../lib/graph/fuse.js';
import type { Graph } from '../../lib/graph/graph.js';
import { extend, trace } from '../../lib/graph/trace.js';
import { add } from '../../lib/ops/add.js';
import { batchNorm } from '../../lib/ops/batch-norm.js';
import { conv2d } from '../../lib/ops/conv2d.js';
import { maxPool2d } from '../../lib/ops/max-pool2d.js';
import { mul } from '../../lib/ops/mul.js';
import type { Value } from '../../lib/ops/operator.js';
import { relu } from '../../lib/ops/relu.js';
import { sum } from '../../lib/ops/sum.js';
import { sizeOf, Tensor, type TypedArray } from '../../lib/tensor.js';

const image = { shape: [2, 3, 5, 5], dtype: 'float64' } as const;
const randn = (shape: number[], seed: number) => Tensor.randn(shape, { seed, dtype: 'float64' });
const w = randn([3, 3, 3, 3], 1);
const b = randn([3], 2);
const gamma = randn([3], 3);
const beta = randn([3], 4);
const x = randn([...image.shape], 5).data;

function names(graph: Graph): string[] {
  return graph.nodes.map(({ operator, attributes }) => {
    return attributes.activation === 'relu' ? `${operator.name}+relu` : operator.name;
  });
}

function evaluate(graph: Graph): TypedArray[] {
  return compileGraph(graph).runSync([x]);
}

function close(a: readonly TypedArray[], b: readonly TypedArray[]): void {
  assert.equal(a.length, b.length);
  a.forEach((array, i) => {
    array.forEach((value, j) => {
      assert.ok(
        Math.abs(value - (b[i]?.[j] as number)) <= 1e-12 * (1 + Math.abs(value)),
        `${i}[${j}]: ${value}, ${b[i]?.[j]}`,
      );
    });
  });
}

const training = (z: Value, state?: { mean: Tensor; variance: Tensor }) =>
  batchNorm(z, gamma, beta, { training: true, runningMean: state?.mean ?? null, runningVar: state?.variance ?? null });
const conv = (z: Value) => conv2d(z, w, b, { padding: 1 });

test('ReLU becomes part of the convolution', () => {
  const graph = trace((z) => relu(conv(z)), [image]);
  assert.deepEqual(names(fuse(graph)), ['conv2d+relu']);
  close(evaluate(fuse(graph)), evaluate(graph));
});

test('not when the value in between is needed elsewhere', () => {
  const shared = trace(
    (z) => {
      const y = conv(z);
      return add(relu(y), y);
    },
    [image],
  );
  assert.deepEqual(names(fuse(shared)), names(shared));
  const result = trace(
    (z) => {
      const y = conv(z);
      return [relu(y), y];
    },
    [image],
  );
  assert.deepEqual(names(fuse(result)), names(result));
});

test('a residual block: two passes instead of five', () => {
  const block = (z: Value) => relu(add(training(conv(relu(training(conv(z))))), z));
  const graph = trace((z) => block(z), [image]);
  assert.deepEqual(names(graph), ['conv2d', 'batchNormTrain', 'relu', 'conv2d', 'batchNormTrain', 'add', 'relu']);
  assert.deepEqual(names(fuse(graph)), ['conv2d', 'batchNormTrain+relu', 'conv2d', 'batchNormTrain+relu']);
  close(evaluate(fuse(graph)), evaluate(graph));
});

test('with a normalised shortcut, the later normalisation takes the addition', () => {
  const graph = trace((z) => relu(add(training(conv(z)), training(conv2d(z, w, null, { padding: 1 })))), [image]);
  assert.deepEqual(names(fuse(graph)), ['conv2d', 'batchNormTrain', 'conv2d', 'batchNormTrain+relu']);
  close(evaluate(fuse(graph)), evaluate(graph));
});

test('a shortcut computed after the normalisation, and inference', () => {
  const state = { runningMean: randn([3], 6), runningVar: Tensor.full([3], 2, 'float64') };
  const graph = trace(
    (z) => {
      const y = batchNorm(conv(z), gamma, beta, { ...state, training: false });
      return relu(add(y, mul(z, z)));
    },
    [image],
  );
  assert.deepEqual(names(fuse(graph)), ['conv2d', 'mul', 'batchNormInfer+relu']);
  close(evaluate(fuse(graph)), evaluate(graph));
});

test('gradients of fused and unfused graphs agree', () => {
  const loss = randn([...image.shape], 8);
  const graph = trace((z) => sum(mul(relu(add(training(conv(relu(training(conv(z))))), z)), loss)), [image]);
  const wrt = [graph.inputs[0] as number, w, b, gamma, beta];
  const fused = differentiate(fuse(graph), { wrt });
  const plain = differentiate(graph, { wrt });
  assert.ok(fused.nodes.length < plain.nodes.length);
  assert.ok(!names(fused).includes('reluBackward'));
  close(evaluate(fused), evaluate(plain));
});

test('running statistics move the same way', () => {
  const run = (transform: (graph: Graph) => Graph) => {
    const state = { mean: Tensor.zeros([3], 'float64'), variance: Tensor.ones([3], 'float64') };
    evaluate(transform(trace((z) => relu(training(conv(z), state)), [image])));
    assert.ok(sizeOf(state.mean.shape) === 3 && state.mean.data[0] !== 0);
    return [state.mean.data, state.variance.data];
  };
  close(
    run(fuse),
    run((graph) => graph),
  );
});

test('a residual without ReLU passes its gradient on, and is not copied', () => {
  const factor = randn([...image.shape], 9);
  const graph = trace((z) => sum(mul(add(training(conv(z)), z), factor)), [image]);
  const wrt = [graph.inputs[0] as number, w];
  const fused = differentiate(fuse(graph), { wrt });
  assert.equal(fused.nodes.find((node) => node.operator.name === 'batchNormTrainBackward')?.outputs[3], -1);
  close(evaluate(fused), evaluate(differentiate(graph, { wrt })));
});

test('normalisation by running statistics is folded into the convolution, and follows its parameters', () => {
  const state = { runningMean: randn([3], 6), runningVar: Tensor.full([3], 2, 'float64') };
  const infer = (z: Value) => batchNorm(z, gamma, beta, { ...state, training: false });
  for (const bias of [null, b]) {
    const graph = fuse(trace((z) => relu(infer(conv2d(z, w, bias, { padding: 1 }))), [image]));
    assert.deepEqual(names(graph), ['conv2d', 'batchNormInfer+relu']);
    assert.deepEqual(names(foldBatchNorm(graph)).at(-1), 'conv2d+relu');
    const program = compileGraph(graph);
    assert.equal(program.profile().at(-1)?.operator, 'conv2d');
    for (const variance of [2, 3]) {
      state.runningVar.data.fill(variance);
      const expected = relu(infer(conv2d(new Tensor(image.shape, x), w, bias, { padding: 1 })) as Tensor);
      close(program.runSync([x]), [expected.data]);
    }
  }
  const residual = fuse(trace((z) => relu(add(infer(conv2d(z, w, b, { padding: 1 })), mul(z, z))), [image]));
  assert.deepEqual(names(residual), ['conv2d', 'mul', 'batchNormInfer+relu']);
  assert.deepEqual(names(foldBatchNorm(residual)).at(-1), 'conv2d+relu');
  const program = compileGraph(residual);
  assert.match(program.explain(), /conv2d\+add\+relu/);
  const z = new Tensor(image.shape, x);
  const expected = relu(add(infer(conv2d(z, w, b, { padding: 1 })), mul(z, z)) as Tensor) as Tensor;
  close(program.runSync([x]), [expected.data]);
  const small = trace((z) => infer(conv2d(z, w)), [{ shape: [1, 3, 3, 3], dtype: 'float64' }]);
  assert.equal(foldBatchNorm(small).nodes.length, 2); // nine times more weights than pixels
});

for (const [name, kernelSize, stride] of [
  ['2×2', 2, 2],
  ['overlapping 3×3', 3, 2],
  ['overlapping 3×3 stride 1', 3, 1],
] as const) {
  test(`masks of ReLU are applied to the pooled gradient: ${name}`, () => {
    const pool = (z: Value) => maxPool2d(z, { kernelSize, stride, padding: kernelSize === 3 ? 1 : 0 });
    for (const body of [(z: Value) => relu(conv(z)), (z: Value) => relu(training(conv(z)))]) {
      const factor = randn([...trace((z) => pool(z), [image]).values[1]!.shape], 9);
      const graph = trace((z) => sum(mul(pool(body(z)), factor)), [image]);
      const wrt = [graph.inputs[0] as number, w, b];
      const gradient = differentiate(fuse(graph), { wrt });
      const order = names(gradient).filter((other) => /Backward/.test(other));
      assert.deepEqual(order.slice(0, 2), ['reluBackward', 'maxPool2dBackward']);
      assert.ok(!order.includes('batchNormTrainBackward+relu'));
      close(evaluate(gradient), evaluate(unmoved(graph, wrt)));
    }
  });
}

/** Gradients without any rewriting. */
function unmoved(graph: Graph, wrt: (number | Tensor)[]): Graph {
  return extend(graph, ([input], [loss]) => {
    const seed = { value: loss as Value, gradient: Tensor.ones([], 'float64') };
    const found = gradients(
      [seed],
      wrt.map((target) => (target instanceof Tensor ? target : (input as Value))),
    );
    return [loss as Value, ...found.map((gradient) => gradient as Value)];
  });
}
