import { expect, test } from 'vitest';
import { Tensor } from '../../lib/index.js';
import { apply } from '../../lib/ops/operator.js';
import { adamUpdateOperator, sgdUpdateOperator, updateInplace } from '../../lib/ops/update.js';
import { expectClose, onBackends } from './helpers.js';

const vector = (...values: number[]) => new Tensor([values.length], Float32Array.from(values));
const hyper = (...values: number[]) => new Tensor([values.length], Float64Array.from(values));

onBackends(() => {
  test('sgd: p ← p − lr·(g + weightDecay·p), in place, each parameter with numbers of its own', () => {
    const [p, q] = [vector(1, 2), vector(10)];
    const inputs = [hyper(1, 0.1, 0, 0, 0, 0.5, 0, 0, 0.2), p, q, vector(3, 4), vector(5)];
    apply(
      sgdUpdateOperator,
      inputs,
      { count: 2, momentum: false, nesterov: false, maximize: false },
      updateInplace(5, 2),
    );
    expectClose(p, [0.7, 1.6]);
    expectClose(q, [10 - 0.5 * (5 + 0.2 * 10)]);
  });

  test('sgd with momentum: m ← g at step 1, then momentum·m + (1 − dampening)·g', () => {
    const [p, m, g] = [vector(1), vector(99), vector(2)];
    const attributes = { count: 1, momentum: true, nesterov: false, maximize: false };
    for (const step of [1, 2])
      apply(sgdUpdateOperator, [hyper(step, 0.1, 0.9, 0.5, 0), p, g, m], attributes, updateInplace(4, 1));
    expectClose(m, [0.9 * 2 + 0.5 * 2]);
    expectClose(p, [1 - 0.1 * 2 - 0.1 * 2.8]);
  });

  test('adam: the first step moves by lr, whatever the size of the gradient', () => {
    for (const decoupled of [false, true]) {
      const [p, g, m, v] = [vector(1, 1), vector(1e-3, -50), vector(0, 0), vector(0, 0)];
      const inputs = [hyper(1, 0.1, 0.9, 0.999, 0, 0), p, g, m, v];
      apply(adamUpdateOperator, inputs, { count: 1, decoupled, maximize: false }, updateInplace(5, 1));
      expectClose(p, [0.9, 1.1]);
      expectClose(m, [1e-4, -5]);
    }
  });

  test('adamw: weight decay shrinks the parameter before anything else', () => {
    const [p, g, m, v] = [vector(2), vector(0), vector(0), vector(0)];
    const inputs = [hyper(1, 0.1, 0.9, 0.999, 1e-8, 0.5), p, g, m, v];
    apply(adamUpdateOperator, inputs, { count: 1, decoupled: true, maximize: false }, updateInplace(5, 1));
    expectClose(p, [2 * (1 - 0.1 * 0.5)]);
  });
});

test('outputs are the parameters and the states', () => {
  expect(updateInplace(5, 2)).toEqual([1, 2]);
  expect(updateInplace(7, 2)).toEqual([1, 2, 5, 6]);
});
