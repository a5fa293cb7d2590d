import assert from 'node:assert/strict';
import { test } from 'vitest';
import { compileGraph } from '../../lib/graph/executable.js';
import { trace } from '../../lib/graph/trace.js';
import { add } from '../../lib/ops/add.js';
import { conv2d } from '../../lib/ops/conv2d.js';
import { maxPool2d, maxPool2dBackward } from '../../lib/ops/max-pool2d.js';
import { mul } from '../../lib/ops/mul.js';
import { apply, type Operator, type Traced, type Value } from '../../lib/ops/operator.js';
import { relu } from '../../lib/ops/relu.js';
import { sgdUpdateOperator, updateInplace } from '../../lib/ops/update.js';
import { Tensor, tensor } from '../../lib/tensor.js';

const vector = { shape: [2], dtype: 'float32' } as const;
const f32 = (...values: number[]) => Float32Array.from(values);

test('inputs, captured tensors and results; the same arrays at each run unless others are given', async () => {
  const w = tensor([10, 20]);
  const program = compileGraph(trace((x, y) => [add(mul(x, w), y), relu(x)], [vector, vector]));
  const first = program.runSync([f32(1, 2), f32(3, -4)]);
  assert.deepEqual(first, [f32(13, 36), f32(1, 2)]);
  w.data.fill(0); // read where it lies
  const second = await program.run([f32(1, -2), f32(3, -4)]);
  assert.deepEqual(second, [f32(3, -4), f32(1, 0)]);
  assert.equal(second[0], first[0]);
  const own = [f32(0, 0), f32(0, 0)];
  await program.run([f32(1, -2), f32(5, 5)], own);
  assert.deepEqual(own, [f32(5, 5), f32(1, 0)]);
  program.dispose();
  assert.throws(() => program.runSync([f32(1, 2), f32(3, 4)]), { code: 'ERR_DISPOSED' });
});

test('inputs, captured tensors and one value twice as results', () => {
  const w = tensor([10, 20]);
  const program = compileGraph(
    trace(
      (x) => {
        const y = relu(x);
        return [x, w, y, y];
      },
      [vector],
    ),
  );
  assert.deepEqual(program.runSync([f32(-1, 2)]), [f32(-1, 2), f32(10, 20), f32(0, 2), f32(0, 2)]);
});

test('captured tensors change at the end of a run, all at once', () => {
  const [a, b] = [tensor([1, 2]), tensor([3, 4])];
  const program = compileGraph(
    trace(
      (x) => {
        const [now, other] = [add(a, x), b] as [Traced, Value];
        const swapped = mul(other, Tensor.ones([2])) as Traced;
        x.recorder.assign(b, now);
        x.recorder.assign(a, swapped);
        return [now, a];
      },
      [vector],
    ),
  );
  assert.deepEqual(program.runSync([f32(1, 1)]), [f32(2, 3), f32(3, 4)]);
  assert.deepEqual([a.data, b.data], [f32(3, 4), f32(2, 3)]);
});

test('two captured tensors may change places', () => {
  const [a, b] = [tensor([1, 2]), tensor([3, 4])];
  const graph = trace(() => [a, b], []);
  const [first, second] = graph.outputs as [number, number];
  const assigns = [
    { target: first, value: second },
    { target: second, value: first },
  ];
  const program = compileGraph({ ...graph, assigns });
  assert.deepEqual(program.runSync([]), [f32(1, 2), f32(3, 4)]);
  assert.deepEqual([a.data, b.data], [f32(3, 4), f32(1, 2)]);
});

test('optimizer updates work in place, also when the parameter was used under another shape', () => {
  const p = tensor([1, 2]);
  const hyper = new Tensor([5], Float64Array.of(1, 0.5, 0, 0, 0));
  const program = compileGraph(
    trace(
      (g) => {
        const before = add(p.reshape([2, 1]), Tensor.zeros([2, 1]));
        const attributes = { count: 1, momentum: false, nesterov: false, maximize: false };
        apply(sgdUpdateOperator, [hyper, p, g], attributes, updateInplace(3, 1));
        return before;
      },
      [vector],
    ),
  );
  assert.deepEqual(program.runSync([f32(2, 4)]), [f32(1, 2)]);
  assert.deepEqual(p.data, f32(0, 0));
});

test('arrays are checked before anything runs', () => {
  const program = compileGraph(trace((x) => relu(x), [vector], 'net'));
  const detached = f32(1, 2);
  structuredClone(detached, { transfer: [detached.buffer] });
  assert.throws(() => program.runSync([]), { code: 'ERR_SHAPE', message: 'net: 1 inputs expected, 0 given' });
  assert.throws(() => program.runSync([f32(1)]), {
    code: 'ERR_SHAPE',
    message: /^net: input 0 is \[2\] and needs 2 .* has 1/,
  });
  assert.throws(() => program.runSync([Float64Array.of(1, 2)]), { code: 'ERR_DTYPE' });
  assert.throws(() => program.runSync([detached]), { code: 'ERR_DATA', message: /detached/ });
  assert.throws(() => program.runSync([f32(1, 2)], [f32(1)]), { code: 'ERR_SHAPE' });
});

test('an operator that the backend does not have is named', () => {
  const strange: Operator = { name: 'strange', infer: ([x]) => [x ?? null], cost: () => ({ flops: 0, bytes: 0 }) };
  const graph = trace((x) => apply(strange, [x])[0] as Traced, [vector]);
  assert.throws(() => compileGraph(graph, { backend: 'reference' }), {
    code: 'ERR_BACKEND',
    message: /^strange: the reference/,
  });
});

test('float64 runs on the reference backend', () => {
  const graph = trace((x) => relu(x), [{ shape: [2], dtype: 'float64' }]);
  const program = compileGraph(graph);
  assert.equal(program.backendName, 'reference');
  assert.deepEqual(program.runSync([Float64Array.of(-1, 2)]), [Float64Array.of(0, 2)]);
});

test('explains itself', () => {
  const w = Tensor.ones([1, 1, 3, 3]);
  const graph = trace(
    (x) => relu(conv2d(relu(x), w, null, { stride: 3 })),
    [{ shape: [1, 1, 5, 5], dtype: 'float32' }],
    'lecture',
  );
  assert.equal(
    compileGraph(graph, { backend: 'reference', threads: 2 }).explain(),
    [
      'lecture: reference backend, 2 threads, 3 steps, 0.000 GFLOP, 0.00 MiB over memory',
      'peak memory 0.00 MiB: arena and workspace 0.00, parameters and data 0.00',
      '#  operator  output               layout   MiB  GFLOP  algorithm',
      '0  relu      float32[1, 1, 5, 5]  plain   0.00  0.000  reference',
      '1  conv2d    float32[1, 1, 1, 1]  plain   0.00  0.000  reference',
      '2  relu      float32[1, 1, 1, 1]  plain   0.00  0.000  reference',
      'warning: conv2d: stride 3 leaves 2 of 5 rows unread: (5 + 2·0 − 3) / 3 is not whole',
      'warning: conv2d: stride 3 leaves 2 of 5 columns unread: (5 + 2·0 − 3) / 3 is not whole',
    ].join('\n'),
  );
});

test('profiles its steps', () => {
  const program = compileGraph(
    trace((x) => relu(add(x, x)), [vector]),
    { backend: 'reference' },
  );
  program.runSync([f32(1, 2)]);
  const profile = program.profile();
  assert.deepEqual(
    profile.map(({ operator, shape, describe }) => [operator, shape, describe]),
    [
      ['add', [2], 'reference'],
      ['relu', [2], 'reference'],
    ],
  );
  assert.ok(profile.every(({ milliseconds }) => milliseconds >= 0));
});

test('the places of maxima are computed only where something reads them', () => {
  const image = { shape: [1, 1, 4, 4], dtype: 'float32' } as const;
  const places = (body: (x: Traced) => Value) => {
    const program = compileGraph(trace(body, [image]));
    program.runSync([Float32Array.from({ length: 16 }, (_, i) => i)]);
    return program.graph.nodes.find(({ operator }) => operator.name === 'maxPool2d')?.outputs[1];
  };
  assert.equal(
    places((x) => maxPool2d(x, { kernelSize: 2 })),
    -1,
  );
  const ones = Tensor.ones([1, 1, 2, 2]);
  assert.ok((places((x) => maxPool2dBackward(ones, x, { kernelSize: 2 }).gradInput) ?? -1) >= 0);
});
