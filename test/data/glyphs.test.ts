import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { InMemoryDataset } from '../../lib/data/array-dataset.js';
import { glyphs } from '../../lib/data/glyphs.js';
import { expectError } from '../formats/helpers.js';

const digest = (bytes: Uint8Array | Float32Array) => createHash('sha256').update(bytes).digest('hex').slice(0, 16);

describe('determinism', () => {
  test('the same seed gives the same bits, here and on every other machine', () => {
    const set = glyphs({ train: 50, test: 20, seed: 7 });
    expect(glyphs({ train: 50, test: 20, seed: 7 }).images).toEqual(set.images);
    expect({ train: digest(set.images), test: digest(set.test.images) }).toMatchInlineSnapshot(`
      {
        "test": "47c2ad2750b139d6",
        "train": "fd671c9618d0c3e2",
      }
    `);
  });

  test('a larger set begins with the smaller one', () => {
    const small = glyphs({ train: 25, seed: 3 });
    const large = glyphs({ train: 100, seed: 3 });
    expect(large.images.subarray(0, small.images.length)).toEqual(small.images);
    expect(large.labels.subarray(0, 25)).toEqual(small.labels);
  });

  test('other seeds and the other part give other pictures', () => {
    const set = glyphs({ train: 100, test: 100, seed: 3 });
    expect(glyphs({ train: 100, seed: 4 }).images).not.toEqual(set.images);
    const pictures = [set.train, set.test].flatMap(({ images }) =>
      Array.from({ length: 100 }, (_, i) => digest(images.subarray(784 * i, 784 * (i + 1)))),
    );
    expect(new Set(pictures).size).toBe(200);
  });
});

test('shape, classes and normalisation', () => {
  const set = glyphs({ train: 1000, test: 200, seed: 1 });
  expect(set).toMatchObject({ length: 1000, imageShape: [1, 28, 28], classes: [...'0123456789'] });
  expect(set.test).toMatchObject({ length: 200, imageShape: [1, 28, 28], normalization: set.normalization });
  const perClass = Array.from({ length: 10 }, (_, digit) => set.labels.filter((label) => label === digit).length);
  expect(perClass).toEqual(Array(10).fill(100));
  let [sum, squares] = [0, 0];
  for (let i = 0; i < set.length; ++i) {
    for (const value of set.get(i).x.data) {
      sum += value;
      squares += value * value;
    }
  }
  expect(sum / (784 * set.length)).toBeCloseTo(0, 4);
  expect(squares / (784 * set.length)).toBeCloseTo(1, 4);
});

test('10,000 + 2,000 pictures take a few seconds at most', () => {
  const start = process.cpuUsage(); // not the clock: other tests run beside this one
  const set = glyphs();
  expect([set.length, set.test.length]).toEqual([10_000, 2_000]);
  expect(process.cpuUsage(start).user / 1e6).toBeLessThan(5);
});

test('a linear classifier stays below 90 %', () => {
  const set = glyphs({ train: 4000, test: 1000, seed: 1 });
  const weights = softmaxRegression(set, { epochs: 8, lr: 0.002, decay: 0.02 });
  const accuracy = accuracyOf(weights, set.test);
  expect(accuracy).toBeLessThan(0.9);
  expect(accuracy).toBeGreaterThan(0.6); // it did learn, so the bound above means something
});

test('sizes that cannot be', () => {
  for (const train of [0, -1, 1.5, Number.NaN, 1e12]) {
    expectError(() => glyphs({ train }), 'ERR_OPTION', `train must be`, String(train));
  }
  expectError(() => glyphs({ seed: -1 }), 'ERR_OPTION', 'seed must be');
});

const features = 785; // the last one is 1: the bias

function pixelsOf(set: InMemoryDataset, index: number): Float64Array {
  const x = new Float64Array(features).fill(1);
  x.set(set.get(index).x.data);
  return x;
}

function scores(weights: Float64Array, x: Float64Array): Float64Array {
  return Float64Array.from({ length: 10 }, (_, digit) => {
    let sum = 0;
    for (let i = 0; i < features; ++i) sum += (weights[digit * features + i] ?? 0) * (x[i] ?? 0);
    return sum;
  });
}

/** Stochastic gradient descent on cross entropy + decay/2 · |W|², the rate falling to zero. */
function softmaxRegression(set: InMemoryDataset, { epochs, lr, decay }: { epochs: number; lr: number; decay: number }) {
  const weights = new Float64Array(10 * features);
  const samples = Array.from({ length: set.length }, (_, i) => pixelsOf(set, i));
  const steps = epochs * set.length;
  for (let step = 0; step < steps; ++step) {
    const rate = lr * (1 - step / steps);
    const index = (step * 1597) % set.length; // a fixed order that mixes: 1597 shares no factor with the length
    const x = samples[index] ?? new Float64Array(features);
    const logits = scores(weights, x);
    const largest = Math.max(...logits);
    const exps = logits.map((value) => Math.exp(value - largest));
    const total = exps.reduce((sum, value) => sum + value, 0);
    for (let digit = 0; digit < 10; ++digit) {
      const slope = (exps[digit] ?? 0) / total - (set.labels[index] === digit ? 1 : 0);
      for (let i = 0; i < features; ++i) {
        const at = digit * features + i;
        weights[at] = (weights[at] ?? 0) - rate * (slope * (x[i] ?? 0) + decay * (weights[at] ?? 0));
      }
    }
  }
  return weights;
}

function accuracyOf(weights: Float64Array, set: InMemoryDataset): number {
  let correct = 0;
  for (let i = 0; i < set.length; ++i) {
    const logits = scores(weights, pixelsOf(set, i));
    if (logits.indexOf(Math.max(...logits)) === set.labels[i]) ++correct;
  }
  return correct / set.length;
}
