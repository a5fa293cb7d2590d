import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Attributes } from '../../lib/backend/backend.js';
import { allocate, type DType, Tensor } from '../../lib/tensor.js';
import { runReference } from '../helpers/reference.js';

// The reference backend against PyTorch, in float64. make_golden.py wrote the files and describes them.
interface StoredTensor {
  readonly shape: number[];
  readonly dtype: DType;
  readonly data: number[];
}
interface StoredCase {
  readonly name: string;
  readonly operator: string;
  readonly inputs: (StoredTensor | null)[];
  readonly attributes: Attributes;
  readonly outputs: (StoredTensor | null)[];
}
interface StoredOptimizer {
  readonly name: string;
  readonly optimizer: 'SGD' | 'Adam' | 'AdamW';
  readonly options: {
    lr: number;
    momentum?: number;
    dampening?: number;
    nesterov?: boolean;
    betas?: [number, number];
    eps?: number;
    weight_decay: number;
    maximize: boolean;
  };
  readonly params: StoredTensor[];
  readonly steps: { grads: StoredTensor[]; params: StoredTensor[] }[];
}

function load<T>(file: string): T {
  return JSON.parse(readFileSync(new URL(`${file}.json`, import.meta.url), 'utf8')) as T;
}

function restore(stored: StoredTensor): Tensor {
  const data = allocate(stored.dtype, stored.data.length);
  data.set(stored.data);
  return new Tensor(stored.shape, data);
}

/** Both sides sum fewer than 2^8 terms of size below 2^4 in float64, in different orders: 2^12 · 2^-52 and some room. */
const tolerance = 1e-11;

function expectClose(actual: Tensor, expected: StoredTensor, what: string): void {
  expect(actual.shape, what).toEqual(expected.shape);
  expected.data.forEach((value, i) => {
    const difference = Math.abs((actual.data[i] as number) - value);
    expect(
      difference <= tolerance * Math.max(1, Math.abs(value)),
      `${what}[${i}]: ${actual.data[i]}, PyTorch ${value}`,
    ).toBe(true);
  });
}

for (const file of ['conv', 'dense', 'pool', 'norm', 'loss']) {
  describe(file, () => {
    for (const stored of load<StoredCase[]>(file)) {
      test(`${stored.operator} ${stored.name}`, () => {
        const { operator, attributes, outputs } = stored;
        const inputs = stored.inputs.map((t) => (t ? restore(t) : null));
        const results = runReference({ operator, inputs, outputs, attributes });
        results.forEach((tensor, i) => {
          const expected = outputs[i];
          if (tensor && expected) expectClose(tensor, expected, `output ${i}`);
        });
      });
    }
  });
}

describe('optimizers', () => {
  for (const stored of load<StoredOptimizer[]>('optimizers')) {
    test(stored.name, () => {
      const { lr, momentum = 0, dampening = 0, nesterov = false, betas, eps, weight_decay, maximize } = stored.options;
      const count = stored.params.length;
      const params = stored.params.map(restore);
      const sgd = stored.optimizer === 'SGD';
      const kinds = sgd ? Number(momentum !== 0) : 2;
      const states = Array.from({ length: kinds }, () => params.map((p) => Tensor.zeros(p.shape, 'float64'))).flat();
      const numbers = sgd
        ? [lr, momentum, dampening, weight_decay]
        : [lr, ...(betas ?? []), eps as number, weight_decay];
      const attributes: Attributes = sgd
        ? { count, momentum: momentum !== 0, nesterov, maximize }
        : { count, decoupled: stored.optimizer === 'AdamW', maximize };
      stored.steps.forEach((step, t) => {
        const hyper = new Tensor(
          [1 + count * numbers.length],
          new Float64Array([t + 1, ...params.flatMap(() => numbers)]),
        );
        const inputs = [hyper, ...params, ...step.grads.map(restore), ...states];
        const inplace = [...params, ...states].map((tensor) => inputs.indexOf(tensor));
        runReference({
          operator: sgd ? 'sgdUpdate' : 'adamUpdate',
          inputs,
          outputs: [...params, ...states],
          attributes,
          inplace,
        });
        params.forEach((p, k) => {
          expectClose(p, step.params[k] as StoredTensor, `parameter ${k} after step ${t + 1}`);
        });
      });
    });
  }
});
