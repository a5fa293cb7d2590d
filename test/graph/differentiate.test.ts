import assert from 'node:assert/strict';
import { test } from 'vitest';
import { differentiate, gradients } from '../../lib/graph/differentiate.js';
import { compileGraph } from '../../lib/graph/executable.js';
import type { Graph } from '../../lib/graph/graph.js';
import { trace } from '../../lib/graph/trace.js';
import { add } from '../../lib/ops/add.js';
import { conv2d } from '../../lib/ops/conv2d.js';
import { mul } from '../../lib/ops/mul.js';
import { apply1, type Operator, type Traced } from '../../lib/ops/operator.js';
import { relu } from '../../lib/ops/relu.js';
import { reshape } from '../../lib/ops/reshape.js';
import { sum } from '../../lib/ops/sum.js';
import { Tensor, type TypedArray, tensor } from '../../lib/tensor.js';

const vector = { shape: [3], dtype: 'float64' } as const;
const f64 = (...values: number[]) => new Tensor([values.length], Float64Array.from(values));

function evaluate(graph: Graph, ...inputs: TypedArray[]): number[][] {
  return compileGraph(graph)
    .runSync(inputs)
    .map((array) => [...array]);
}

test('f = Σ x·x·w: ∂f/∂x = 2·x·w, two contributions added, ∂f/∂w = x²', () => {
  const w = f64(1, -2, 3);
  const graph = trace((x) => sum(mul(mul(x, x), w)), [vector]);
  const both = differentiate(graph, { wrt: [graph.inputs[0] as number, w] });
  assert.deepEqual(evaluate(both, Float64Array.of(4, 5, 6)), [[16 - 50 + 108], [8, -20, 36], [16, 25, 36]]);
});

test('only gradients that lead to what is wanted are computed', () => {
  const w = Tensor.ones([2, 1, 3, 3]);
  const v = Tensor.ones([2, 2, 3, 3]);
  const graph = trace((x) => sum(conv2d(relu(conv2d(x, w)), v)), [{ shape: [1, 1, 8, 8], dtype: 'float32' }]);
  const names = (wrt: Tensor[]) => differentiate(graph, { wrt }).nodes.map((node) => node.operator.name);
  const count = (wrt: Tensor[], name: string) => names(wrt).filter((other) => other === name).length;
  assert.equal(count([w, v], 'conv2dGradInput'), 1); // none for the input of the first layer
  assert.equal(count([w, v], 'conv2dGradWeight'), 2);
  assert.equal(count([v], 'conv2dGradInput'), 0);
  assert.equal(count([v], 'reluBackward'), 0);
});

test('what has no influence gets zeros from differentiate and null from gradients', () => {
  const [w, other] = [f64(1, 2, 3), f64(1, 1, 1)];
  const graph = trace((x) => sum(mul(x, w)), [vector]);
  assert.deepEqual(evaluate(differentiate(graph, { wrt: [other] }), Float64Array.of(1, 1, 1)), [[6], [0, 0, 0]]);
  trace(
    (x) => {
      const y = sum(x);
      assert.deepEqual(gradients([{ value: y, gradient: Tensor.ones([], 'float64') }], [other]), [null]);
      return y;
    },
    [vector],
  );
});

test('a parameter used under another shape gets its gradient in its own', () => {
  const w = f64(1, 2, 3, 4);
  const graph = trace((x) => sum(mul(x, reshape(w, [2, 2]))), [{ shape: [2, 2], dtype: 'float64' }]);
  const result = differentiate(graph, { wrt: [w] });
  assert.deepEqual(result.values[result.outputs[1] as number]?.shape, [4]);
  assert.deepEqual(evaluate(result, Float64Array.of(5, 6, 7, 8)), [[70], [5, 6, 7, 8]]);
});

test('gradients inside a trace: the second derivative of Σ x³ is 6·x', () => {
  const graph = trace(
    (x) => {
      const [first] = gradients([{ value: sum(mul(mul(x, x), x)), gradient: Tensor.ones([], 'float64') }], [x]);
      const [second] = gradients([{ value: sum(first as Traced), gradient: Tensor.ones([], 'float64') }], [x]);
      return [first as Traced, second as Traced];
    },
    [vector],
  );
  assert.deepEqual(evaluate(graph, Float64Array.of(1, 2, 3)), [
    [3, 12, 27],
    [6, 12, 18],
  ]);
});

test('refuses what is not a scalar, and operators without a gradient by name', () => {
  const graph = trace((x) => add(x, x), [vector]);
  assert.throws(() => differentiate(graph, { wrt: [0] }), { code: 'ERR_SHAPE', message: /\[3\]/ });
  const step: Operator = { name: 'step', infer: ([x]) => [x ?? null], cost: () => ({ flops: 0, bytes: 0 }) };
  const stepped = trace((x) => sum(apply1(step, [x])), [vector]);
  assert.throws(() => differentiate(stepped, { wrt: [0] }), { code: 'ERR_GRAPH', message: /^step: / });
  assert.doesNotThrow(() =>
    differentiate(
      trace((x) => add(sum(apply1(step, [x])), sum(x)), [vector]),
      { wrt: [tensor([1])] },
    ),
  );
});
