import { describe, expect, test } from 'vitest';
import { vjp } from '../../lib/graph/vjp.js';
import { apply, type Operator, type Value } from '../../lib/ops/operator.js';
import { operators } from '../../lib/ops/table.js';
import { sizeOf, Tensor } from '../../lib/tensor.js';
import { Make, seedOf } from '../helpers/make.js';
import { type Case, cases } from '../oracle/cases/index.js';
import { callOf } from '../oracle/compare.js';

// Every gradient rule against a central difference on the float64 reference, along random directions v:
// (⟨g, f(x + h·v)⟩ − ⟨g, f(x − h·v)⟩) / 2h = ⟨∂/∂x ⟨g, f(x)⟩, v⟩ + O(h²) + O(2⁻⁵³/h)

/** Operators without a gradient rule, and why that is right. */
const notDifferentiable: Readonly<Record<string, string>> = {
  maxPool2dBackward: 'a gradient itself',
  batchNormTrainBackward: 'a gradient itself',
  batchNormInferBackward: 'a gradient itself',
  softmaxBackward: 'a gradient itself',
  logSoftmaxBackward: 'a gradient itself',
  crossEntropyBackward: 'a gradient itself',
  countCorrect: 'counts',
  gather: 'reads the data set',
  gatherLabels: 'moves labels',
  normalize: 'reads the data set',
  sgdUpdate: 'changes parameters in place',
  adamUpdate: 'changes parameters in place',
  assign: 'comes after differentiation',
};

/** Inputs that the output depends on and that have no gradient, as in PyTorch. */
const constantInputs: Readonly<Record<string, readonly number[]>> = {
  batchNormInfer: [3, 4], // running statistics
  crossEntropy: [2], // class weights
};

/** Outputs that only the backward operator and the running statistics read. */
const sideOutputs: Readonly<Record<string, readonly number[]>> = { batchNormTrain: [1, 2, 3, 4] };

const step = 1e-6;
/** Both errors above stay below 1e-8 of the size of the terms for functions of order 1; this leaves a factor of 100. */
const tolerance = 1e-6;
const directions = 2;

test('an operator without a gradient rule is one that needs none', () => {
  const without = operators.filter(({ gradient }) => !gradient).map(({ name }) => name);
  expect(without.sort()).toEqual(Object.keys(notDifferentiable).sort());
});

for (const operator of operators.filter(({ gradient }) => gradient)) {
  describe(operator.name, () => {
    const rows = (cases[operator.name] ?? []).filter((row) => !row.oracleOnly);
    test('has cases', () => expect(rows.length).toBeGreaterThan(0));
    for (const row of rows) test(row.name, () => checkGradient(operator, row));
  });
}

function dot(a: Tensor, b: Tensor): number {
  let sum = 0;
  for (let i = 0; i < a.size; i++) sum += (a.data[i] as number) * (b.data[i] as number);
  return sum;
}

function checkGradient(operator: Operator, row: Case): void {
  const { inputs, outputs, attributes } = callOf(operator, row, 'reals', 'float64');
  const present = inputs.filter((tensor): tensor is Tensor => tensor !== null);
  const side = sideOutputs[operator.name] ?? [];
  outputs.forEach((spec, k) => {
    if (spec?.dtype !== 'float64' || side.includes(k)) return;
    const f = (...values: Value[]): Value => {
      const queue = values.values();
      const operands = inputs.map((tensor) => (tensor ? (queue.next().value as Value) : null));
      return apply(operator, operands, attributes)[k] as Value;
    };
    const make = new Make(seedOf(`${operator.name} ${row.name} direction ${k}`), 'reals', 'float64');
    const g = make.float(spec.shape);
    const gradients = vjp(f, present).pullback(g);
    present.forEach((input, i) => {
      if (input.dtype !== 'float64' || constantInputs[operator.name]?.includes(inputs.indexOf(input))) return;
      const gradient = gradients[i] as Tensor;
      expect(gradient.shape).toEqual(input.shape);
      for (let d = 0; d < directions; d++) {
        const v = make.float(input.shape);
        const valueAt = (t: number): number => {
          const moved = new Tensor(
            input.shape,
            (input.data as Float64Array).map((x, j) => x + t * (v.data[j] as number)),
          );
          return dot(g, f(...present.with(i, moved)) as Tensor);
        };
        const measured = (valueAt(step) - valueAt(-step)) / (2 * step);
        const computed = dot(gradient, v);
        const scale = 1 + Math.abs(measured) + Math.sqrt(sizeOf(spec.shape));
        const what = `output ${k} by input ${i}: gradient ${computed}, difference quotient ${measured}`;
        expect(Math.abs(measured - computed), what).toBeLessThan(tolerance * scale);
      }
    });
  });
}
