import assert from 'node:assert/strict';
import { test } from 'vitest';
import { findNative } from '../../lib/backend/native.js';
import { differentiate } from '../../lib/graph/differentiate.js';
import { fuseEpilogues } from '../../lib/graph/epilogue.js';
import { compileGraph } from '../../lib/graph/executable.js';
import { fuse } from '../../lib/graph/fuse.js';
import type { Graph } from '../../lib/graph/graph.js';
import { trace } from '../../lib/graph/trace.js';
import { add } from '../../lib/ops/add.js';
import { batchNorm } from '../../lib/ops/batch-norm.js';
import { conv2d } from '../../lib/ops/conv2d.js';
import { maxPool2d } from '../../lib/ops/max-pool2d.js';
import { mul } from '../../lib/ops/mul.js';
import type { Value } from '../../lib/ops/operator.js';
import { relu } from '../../lib/ops/relu.js';
import { sum } from '../../lib/ops/sum.js';
import { Tensor, type TypedArray } from '../../lib/tensor.js';

type DType = 'float32' | 'float64';

const channels = 18;
const image = [3, channels, 9, 8];

/** Layers whose parameters are the same in both element types. */
function layers(dtype: DType) {
  let seed = 0;
  const parameters: Tensor[] = [];
  const parameter = (shape: number[], scale = 1) => {
    const values = Tensor.randn(shape, { seed: ++seed }).data.map((value: number) => scale * value);
    const tensor = new Tensor(shape, dtype === 'float64' ? Float64Array.from(values) : Float32Array.from(values));
    parameters.push(tensor);
    return tensor;
  };
  return {
    parameters,
    conv: (x: Value, k = channels, options = {}) =>
      conv2d(x, parameter([k, x.shape[1] as number, 3, 3], 0.1), null, { padding: 1, ...options }),
    norm: (x: Value) =>
      batchNorm(x, parameter([x.shape[1] as number]), parameter([x.shape[1] as number]), { training: true }),
  };
}

type Layers = ReturnType<typeof layers>;

/** The loss of a network and its gradients by all parameters, in that order. */
function gradientsOf(body: (x: Value, layers: Layers) => Value, dtype: DType): Graph {
  const made = layers(dtype);
  const graph = trace(
    (x) => {
      const y = body(x, made);
      return sum(mul(y, Tensor.randn(y.shape, { seed: 99, dtype })));
    },
    [{ shape: image, dtype }],
  );
  return differentiate(fuse(graph), { wrt: [...made.parameters, graph.inputs[0] as number] });
}

function block(x: Value, { conv, norm }: Layers): Value {
  return relu(add(norm(conv(relu(norm(conv(x))))), x));
}

const networks: Record<string, (x: Value, made: Layers) => Value> = {
  plain: (x, made) => relu(made.conv(relu(made.conv(relu(made.conv(x)))))),
  normalised: (x, { conv, norm }) => relu(norm(conv(relu(norm(conv(norm(conv(x)))))))),
  residual: (x, made) => block(block(relu(made.norm(made.conv(x))), made), made),
  downsampled: (x, made) => {
    const { conv, norm } = made;
    const y = block(x, made);
    return block(relu(add(norm(conv(relu(norm(conv(y, 20, { stride: 2 }))), 20)), norm(conv(y, 20, { stride: 2 })))), {
      ...made,
      conv: (z) => conv(z, 20),
    });
  },
  'three branches': (x, { conv, norm }) => {
    const y = relu(norm(conv(x)));
    return add(add(conv(y), conv(y)), mul(y, conv(y)));
  },
  pooled: (x, { conv, norm }) => conv(maxPool2d(relu(norm(conv(x))), { kernelSize: 2 })),
};

/** `conv2dGradInput(add mask sums)`: nodes with what was fused into them. */
function fusedNames(graph: Graph, operator: string): string[] {
  const names: Record<string, readonly (readonly [string, 'inputs' | 'outputs', number])[]> = {
    conv2d: [
      ['statistics', 'outputs', 1],
      ['mask', 'outputs', 3],
    ],
    conv2dGradInput: [
      ['add', 'inputs', 2],
      ['mask', 'inputs', 3],
      ['sums', 'outputs', 1],
    ],
    batchNormTrain: [
      ['statistics', 'inputs', 6],
      ['mask', 'outputs', 5],
    ],
    batchNormTrainBackward: [
      ['relu', 'inputs', 2],
      ['sums', 'inputs', 6],
      ['residual', 'outputs', 3],
    ],
  };
  return graph.nodes
    .filter((node) => node.operator.name === operator)
    .map((node) => (names[operator] ?? []).flatMap(([name, side, i]) => ((node[side][i] ?? -1) >= 0 ? [name] : [])))
    .map((fused) => fused.join(' '));
}

const count = (graph: Graph, operator: string) => graph.nodes.filter((node) => node.operator.name === operator).length;

/** With every value a result: then no gradient is a value in between that may be left out. */
function open(graph: Graph): Graph {
  const outputs = [...graph.outputs, ...graph.nodes.flatMap((node) => node.outputs.filter((id) => id >= 0))];
  return { ...graph, outputs: [...new Set(outputs)] };
}

function run(graph: Graph, backend?: 'native' | 'reference', threads = 2): TypedArray[] {
  const dtype = graph.values[graph.inputs[0] as number]?.dtype as DType;
  const values = Tensor.randn(image, { seed: 77 }).data;
  const x = dtype === 'float64' ? Float64Array.from(values) : values;
  const program = compileGraph(graph, { threads, ...(backend ? { backend } : {}) });
  const results = program.runSync([x]).map((array) => array.slice());
  program.dispose();
  return results;
}

function close(found: readonly TypedArray[], expected: readonly TypedArray[], tolerance: number): void {
  expected.forEach((array, i) => {
    const largest = Float64Array.from(array).reduce((most, value) => Math.max(most, Math.abs(value)), 1);
    array.forEach((value: number, j: number) => {
      const difference = Math.abs((found[i]?.[j] as number) - value);
      assert.ok(difference <= tolerance * largest, `${i}[${j}]: ${found[i]?.[j]}, ${value}`);
    });
  });
}

const { backend: native } = findNative();

for (const [name, body] of Object.entries(networks)) {
  test(`${name}: the same gradients with everything fused`, () => {
    const graph = gradientsOf(body, 'float64');
    assert.ok(fuseEpilogues(graph).nodes.length <= graph.nodes.length);
    close(run(graph), run(open(graph)).slice(0, graph.outputs.length), 1e-12);
  });

  test.skipIf(!native)(`${name}: native agrees, with the same bits for 1, 2 and 3 threads`, () => {
    const graph = gradientsOf(body, 'float32');
    const found = run(graph, 'native', 1);
    close(found, run(gradientsOf(body, 'float64')), 2e-4);
    for (const threads of [2, 3]) assert.deepEqual(run(graph, 'native', threads), found);
  });
}

test('a convolution gives the statistics of the normalisation after it', () => {
  const graph = fuseEpilogues(gradientsOf(networks.normalised as (x: Value, made: Layers) => Value, 'float64'));
  assert.deepEqual(fusedNames(graph, 'conv2d'), ['statistics', 'statistics', 'statistics']);
  // The last ReLU's gradient does not come from a convolution.
  assert.deepEqual(fusedNames(graph, 'batchNormTrain'), ['statistics', 'statistics mask', 'statistics']);
});

test('an input gradient masks, and sums for the normalisation before it', () => {
  const graph = fuseEpilogues(gradientsOf(networks.normalised as (x: Value, made: Layers) => Value, 'float64'));
  assert.deepEqual(fusedNames(graph, 'conv2dGradInput'), ['mask sums', 'sums', '']);
  assert.deepEqual(fusedNames(graph, 'batchNormTrainBackward'), ['relu', 'sums', 'sums']);
});

test('a chain of convolutions with ReLU has no passes of its own for the masks', () => {
  const graph = fuseEpilogues(gradientsOf(networks.plain as (x: Value, made: Layers) => Value, 'float64'));
  assert.deepEqual(fusedNames(graph, 'conv2d'), ['mask', 'mask', '']);
  assert.equal(count(graph, 'reluBackward'), 1);
});

test('residual blocks: gradients are added by the convolution that computes the last of them', () => {
  const before = gradientsOf(networks.residual as (x: Value, made: Layers) => Value, 'float64');
  const graph = fuseEpilogues(before);
  assert.equal(count(graph, 'add'), count(before, 'add') - 2);
  assert.deepEqual(fusedNames(graph, 'conv2dGradInput'), [
    'mask sums',
    'add mask sums',
    'mask sums',
    'add mask sums',
    '',
  ]);
  assert.deepEqual(fusedNames(graph, 'batchNormTrainBackward'), ['relu residual', 'sums', 'sums', 'sums', 'sums']);
});

test('a gradient that is a result is left as it is', () => {
  const graph = gradientsOf(networks.residual as (x: Value, made: Layers) => Value, 'float64');
  const opened = fuseEpilogues(open(graph));
  assert.equal(count(opened, 'add'), count(graph, 'add'));
  assert.ok(fusedNames(opened, 'conv2dGradInput').every((fused) => fused === ''));
});

test('explain() names what was fused', () => {
  const text = compileGraph(gradientsOf(networks.residual as (x: Value, made: Layers) => Value, 'float64')).explain();
  for (const name of ['conv2d+statistics', 'batchNormTrain+add+mask+relu', 'conv2dGradInput+add+mask+sums']) {
    assert.ok(text.includes(name), name);
  }
});

test.skipIf(!native)('statistics of values far from 0', () => {
  const [w, bias] = [Tensor.randn([32, 32, 3, 3], { seed: 1 }), Tensor.full([32], 20_000)];
  const graph = trace(
    (x) => batchNorm(conv2d(x, w, bias, { padding: 1 }), null, null, { training: true, eps: 0 }),
    [{ shape: [4, 32, 24, 20], dtype: 'float32' }],
  );
  const x = Tensor.randn([4, 32, 24, 20], { seed: 2 }).data;
  assert.deepEqual(fusedNames(fuseEpilogues(graph), 'conv2d'), ['statistics']);
  const [found, expected] = (['native', 'reference'] as const).map(
    (backend) => compileGraph(graph, { backend }).runSync([x])[0] as TypedArray,
  ) as [TypedArray, TypedArray];
  // A rounding of 20,000 is 1 / 1024 of it, and the standard deviation of a convolution is 17.
  found.forEach((value: number, i: number) => {
    assert.ok(Math.abs(value - (expected[i] as number)) < 3e-4, `${i}: ${value}, ${expected[i]}`);
  });
});

// What bfloat16, or a transform of Winograd's, makes infinite has the convolution done again as the plain sum: the sums of
// the first try are dropped.
for (const [precision, images] of [
  ['medium', 4],
  ['highest', 16],
] as const) {
  test.skipIf(!native)(`statistics of a convolution that was done again, ${precision}`, () => {
    const image = [images, 32, 12, 10];
    const w = Tensor.randn([32, 32, 3, 3], { seed: 1 });
    for (let k = 0; k < 32; k++) w.data.fill(1e-37, k * 288, k * 288 + 9); // of the channel with the large value
    const graph = trace(
      (x) => batchNorm(conv2d(x, w, null, { padding: 1 }), null, null, { training: true }),
      [{ shape: image, dtype: 'float32' }],
    );
    const x = Tensor.randn(image, { seed: 2 }).data;
    x[5] = 3.4e38;
    const [found, expected] = (['native', 'reference'] as const).map(
      (backend) => compileGraph(graph, { backend, precision }).runSync([x])[0] as TypedArray,
    ) as [TypedArray, TypedArray];
    close([found], [expected], 1e-4);
  });
}
