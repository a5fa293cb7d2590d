import assert from 'node:assert/strict';
import { test } from 'vitest';
import { formatGraph, withoutDeadNodes } from '../../lib/graph/graph.js';
import { extend, type GraphBuilder, trace } from '../../lib/graph/trace.js';
import { add } from '../../lib/ops/add.js';
import { conv2d } from '../../lib/ops/conv2d.js';
import { mul } from '../../lib/ops/mul.js';
import { apply, type Operator, type Traced } from '../../lib/ops/operator.js';
import { relu } from '../../lib/ops/relu.js';
import { reshape } from '../../lib/ops/reshape.js';
import { Tensor, tensor } from '../../lib/tensor.js';

const vector = { shape: [3], dtype: 'float32' } as const;

test('records operators, captured tensors once, and prints itself', () => {
  const w = Tensor.ones([3]);
  const graph = trace((x) => add(mul(x, w), w), [vector], 'affine');
  assert.equal(
    formatGraph(graph),
    [
      'graph affine',
      '  input    %0: float32[3]',
      '  captured %1: float32[3]',
      '  %2: float32[3] = mul(%0, %1)',
      '  %3: float32[3] = add(%2, %1)',
      '  return   %3',
    ].join('\n'),
  );
  assert.equal(graph.captured[0]?.tensor, w);
});

test('operators on tensors alone are recorded, too: a reshaped parameter stays that parameter', () => {
  const w = Tensor.ones([4, 3, 3]);
  const graph = trace((x) => conv2d(x, reshape(w, [4, 1, 3, 3])), [{ shape: [1, 1, 5, 5], dtype: 'float32' }]);
  assert.equal(graph.captured.length, 1);
  assert.equal(graph.captured[0]?.tensor.data, w.data);
  const scaled = trace((x) => mul(x, add(Tensor.ones([3]), Tensor.ones([3]))), [vector]);
  assert.deepEqual(
    scaled.nodes.map((node) => node.operator.name),
    ['add', 'mul'],
  );
});

test('a parameter seen in two shapes is captured once', () => {
  const w = tensor([1, 2, 3, 4]);
  const graph = trace((x) => add(mul(x, w), reshape(reshape(w, [2, 2]), [4])), [{ shape: [4], dtype: 'float32' }]);
  assert.equal(graph.captured.length, 1);
});

test('values of another trace are refused', () => {
  let kept: Traced | undefined;
  trace(
    (x) => {
      kept = x;
      return x;
    },
    [vector],
  );
  const leak = kept as Traced;
  assert.throws(() => relu(leak), { code: 'ERR_GRAPH', message: /^relu: the trace of function has ended/ });
  assert.throws(() => trace((x) => add(x, leak), [vector]), { code: 'ERR_GRAPH', message: /outside the function/ });
  assert.throws(() => trace(() => leak, [vector]), { code: 'ERR_GRAPH' });
});

test('a traced function returns values', () => {
  // @ts-expect-error: not a value
  assert.throws(() => trace(() => undefined, [vector], 'net'), { code: 'ERR_GRAPH', message: /^net: .*undefined/ });
  // @ts-expect-error: not synchronous
  assert.throws(() => trace(async (x) => x, [vector]), { code: 'ERR_GRAPH', message: /promise/ });
});

test('a tensor that was assigned to is read with its new contents afterwards', () => {
  const state = Tensor.zeros([3]);
  const graph = trace(
    (x) => {
      const recorder = x.recorder as GraphBuilder;
      const first = mul(x, state) as Traced;
      recorder.assign(state, first);
      const second = mul(x, state) as Traced;
      recorder.assign(state, second);
      return second;
    },
    [vector],
  );
  const captured = graph.captured[0]?.value;
  assert.deepEqual(graph.nodes[1]?.inputs, [0, graph.nodes[0]?.outputs[0]]);
  assert.deepEqual(graph.assigns, [{ target: captured, value: graph.nodes[1]?.outputs[0] }]);
});

test('a tensor takes values of its shape and type only', () => {
  const assign = (target: Tensor) =>
    trace(
      (x) => {
        x.recorder.assign(target, x);
        return x;
      },
      [vector],
    );
  assert.throws(() => assign(Tensor.zeros([4])), { code: 'ERR_SHAPE', message: /\[4\].*\[3\]/ });
  assert.throws(() => assign(Tensor.zeros([3], 'float64')), { code: 'ERR_SHAPE' });
});

test('extend goes on where a graph ended', () => {
  const w = Tensor.ones([3]);
  const graph = trace((x) => mul(x, w), [vector]);
  const more = extend(graph, ([x], [y]) => [add(x as Traced, y as Traced), mul(y as Traced, w)]);
  assert.equal(more.nodes.length, 3);
  assert.equal(more.captured.length, 1);
  assert.equal(graph.nodes.length, 1);
});

test('what nothing needs is dropped; updates in place stay', () => {
  const bump: Operator = { name: 'bump', infer: ([p]) => [p ?? null], cost: () => ({ flops: 0, bytes: 0 }) };
  const [p, unused] = [Tensor.ones([3]), Tensor.ones([3])];
  const graph = trace(
    (x) => {
      mul(x, unused);
      apply(bump, [p, relu(x)], {}, [0]);
      return add(x, x);
    },
    [vector],
  );
  const alive = withoutDeadNodes(graph);
  assert.deepEqual(
    alive.nodes.map((node) => node.operator.name),
    ['relu', 'bump', 'add'],
  );
  assert.deepEqual(
    alive.captured.map(({ tensor }) => tensor),
    [p],
  );
  const update = alive.nodes[1];
  assert.equal(update?.outputs[0], update?.inputs[0]);
});
