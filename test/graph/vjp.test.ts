import assert from 'node:assert/strict';
import { test } from 'vitest';
import { valueAndGrad, vjp } from '../../lib/graph/vjp.js';
import { add } from '../../lib/ops/add.js';
import { conv2d, conv2dBackward } from '../../lib/ops/conv2d.js';
import { mul } from '../../lib/ops/mul.js';
import { relu } from '../../lib/ops/relu.js';
import { reshape } from '../../lib/ops/reshape.js';
import { sum } from '../../lib/ops/sum.js';
import { Tensor, tensor } from '../../lib/tensor.js';

test('the value, and a pullback that can be called many times', () => {
  const [x, y] = [tensor([1, 2, 3]), tensor([4, 5, 6])];
  const { value, pullback } = vjp((a, b) => mul(a, b), [x, y]);
  assert.deepEqual(value.toArray(), [4, 10, 18]);
  assert.deepEqual(
    pullback(tensor([1, 1, 1])).map((g) => g?.toArray()),
    [
      [4, 5, 6],
      [1, 2, 3],
    ],
  );
  assert.deepEqual(
    pullback(tensor([0, 1, 0])).map((g) => g?.toArray()),
    [
      [0, 5, 0],
      [0, 2, 0],
    ],
  );
});

test('conv2d: the pullback is conv2dBackward', () => {
  const x = Tensor.randn([2, 3, 6, 6], { seed: 1, dtype: 'float64' });
  const w = Tensor.randn([4, 3, 3, 3], { seed: 2, dtype: 'float64' });
  const b = Tensor.randn([4], { seed: 3, dtype: 'float64' });
  const { value, pullback } = vjp((a, c, d) => conv2d(a, c, d, { stride: 2, padding: 1 }), [x, w, b]);
  const dy = Tensor.randn(value.shape, { seed: 4, dtype: 'float64' });
  const expected = conv2dBackward(dy, x, w, { stride: 2, padding: 1 });
  assert.deepEqual(pullback(dy), [expected.gradInput, expected.gradWeight, expected.gradBias]);
  assert.ok(value.data instanceof Float64Array);
});

test('values of the way there are saved, not computed again', () => {
  const x = tensor([-1, 2]);
  const { pullback } = vjp((a) => relu(mul(a, a)), [x]);
  x.data.fill(5); // the products depend on x, the mask was saved
  assert.deepEqual(pullback(tensor([1, 1]))[0]?.toArray(), [10, 10]);
});

test('functions may use other tensors, ignore inputs, and return an input', () => {
  const constant = tensor([10, 20]);
  const { value, pullback } = vjp((a) => add(mul(a, constant), constant), [tensor([1, 2]), tensor([3])]);
  assert.deepEqual(value.toArray(), [20, 60]);
  assert.deepEqual(
    pullback(tensor([1, 1])).map((g) => g?.toArray()),
    [[10, 20], [0]],
  );
  const same = vjp((a) => a, [tensor([7])]);
  assert.deepEqual(same.value.toArray(), [7]);
  assert.deepEqual(same.pullback(tensor([3]))[0]?.toArray(), [3]);
  const other = vjp(() => constant, [tensor([7])]);
  assert.deepEqual(other.value.toArray(), [10, 20]);
  assert.deepEqual(other.pullback(tensor([3, 3]))[0]?.toArray(), [0]);
});

test('integer inputs get null', () => {
  const labels = new Tensor([2], Int32Array.of(0, 1));
  const { pullback } = vjp((a) => sum(a), [tensor([1, 2]), labels]);
  assert.deepEqual(
    pullback(Tensor.ones([])).map((g) => g?.toArray() ?? null),
    [[1, 1], null],
  );
});

test('valueAndGrad of a scalar', () => {
  const { value, grads } = valueAndGrad((a) => sum(mul(a, a)))(tensor([1, 2, 3]));
  assert.equal(value.item(), 14);
  assert.deepEqual(grads[0]?.toArray(), [2, 4, 6]);
});

test('refuses what it cannot do', () => {
  assert.throws(() => valueAndGrad((a) => reshape(a, [3, 1]))(tensor([1, 2, 3])), {
    code: 'ERR_SHAPE',
    message: /\[3, 1\]/,
  });
  const { pullback } = vjp((a) => relu(a), [tensor([1, 2])]);
  assert.throws(() => pullback(tensor([1, 2, 3])), { code: 'ERR_SHAPE', message: /\[2\].*\[3\]/ });
  assert.throws(() => pullback(Tensor.ones([2], 'float64')), { code: 'ERR_DTYPE' });
  // @ts-expect-error: not a tensor
  assert.throws(() => vjp((a) => a, [[1, 2]]), { code: 'ERR_GRAPH' });
});
