import assert from 'node:assert/strict';
import { test } from 'vitest';
import { findNative } from '../../lib/backend/native.js';
import { compareBackends } from '../../lib/graph/compare.js';
import { differentiate } from '../../lib/graph/differentiate.js';
import { fuse } from '../../lib/graph/fuse.js';
import { extend, trace } from '../../lib/graph/trace.js';
import * as nn from '../../lib/nn/index.js';
import * as ops from '../../lib/ops/index.js';
import { apply, type Value } from '../../lib/ops/operator.js';
import { sgdUpdateOperator, updateInplace } from '../../lib/ops/update.js';
import { Random } from '../../lib/random.js';
import { Tensor } from '../../lib/tensor.js';

// Rounding errors of sums of a few thousand terms, through a few layers.
const tolerance = 2 ** -23 * 500;

const models: Record<string, () => nn.Module> = {
  lenet: () =>
    new nn.Sequential(
      new nn.Conv2d(3, 20, 3, { padding: 1, seed: 1 }),
      new nn.ReLU(),
      new nn.MaxPool2d(2),
      new nn.Conv2d(20, 17, 3, { seed: 2 }),
      new nn.ReLU(),
      new nn.Flatten(),
      new nn.Dropout(0.5, { seed: 3 }),
      new nn.Linear(17 * 4 * 4, 10, { seed: 4 }),
    ),
  residual: () => {
    const body = new nn.Sequential(
      new nn.Conv2d(16, 32, 3, { stride: 2, padding: 1, bias: false, seed: 1 }),
      new nn.BatchNorm2d(32),
      new nn.ReLU(),
      new nn.Conv2d(32, 32, 3, { padding: 1, bias: false, seed: 2 }),
      new nn.BatchNorm2d(32),
    );
    const shortcut = new nn.Sequential(
      new nn.Conv2d(16, 32, 1, { stride: 2, bias: false, seed: 3 }),
      new nn.BatchNorm2d(32),
    );
    return new nn.Sequential(
      // No bias before a batch norm: its gradient is zero but for rounding, and rounding differs.
      new nn.Conv2d(3, 16, 3, { padding: 1, bias: false, seed: 4 }),
      new nn.BatchNorm2d(16),
      new nn.ReLU(),
      new nn.Residual(body, shortcut),
      new nn.ReLU(),
      new nn.AdaptiveAvgPool2d(1),
      new nn.Flatten(),
      new nn.Linear(32, 10, { seed: 5 }),
    );
  },
};

const unavailable = findNative().reason;

for (const [name, make] of Object.entries(models)) {
  for (const training of [true, false]) {
    test(`${name}, ${training ? 'training step' : 'inference'}: both backends compute the same values`, (t) => {
      if (unavailable) return t.skip(unavailable);
      const random = new Random(5);
      const x = Float32Array.from({ length: 4 * 3 * 12 * 12 }, () => random.normal());
      const model = make();
      const graph = training ? trainingGraph(model) : inferenceGraph(model);
      const inputs = training ? [x, Int32Array.of(1, 9, 0, 4)] : [x];
      for (const { node, operator, output, relativeError } of compareBackends(graph, inputs, 7)) {
        assert.ok(relativeError <= tolerance, `step ${node}, ${operator}, output ${output}: ${relativeError}`);
      }
    });
  }
}

const image = { shape: [4, 3, 12, 12], dtype: 'float32' } as const;

function inferenceGraph(model: nn.Module) {
  model.eval();
  return fuse(trace((x) => model.forward(x), [image]));
}

function trainingGraph(model: nn.Module) {
  model.train();
  const parameters = model.parameters();
  const loss = fuse(trace((x, y) => ops.crossEntropy(model.forward(x), y), [image, { shape: [4], dtype: 'int32' }]));
  const hyper = Float64Array.of(1, ...parameters.flatMap(() => [0.1, 0, 0, 1e-4]));
  return extend(differentiate(loss, { wrt: parameters }), (_, [value, ...gradients]) => {
    const operands = [new Tensor([hyper.length], hyper), ...parameters, ...gradients];
    const attributes = { count: parameters.length, momentum: false, nesterov: false, maximize: false };
    apply(sgdUpdateOperator, operands, attributes, updateInplace(operands.length, parameters.length));
    return [value as Value, ...gradients];
  });
}
