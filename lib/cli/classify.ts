import { type InMemoryDataset, normalize } from '../data/array-dataset.js';
import type { Module } from '../nn/module.js';
import { sizeOf } from '../tensor.js';
import { compileForward } from '../train/compile-forward.js';

export interface Classified {
  /** Class with the largest score; the first of equals. */
  readonly predictions: Int32Array;
  /** Its probability. */
  readonly confidences: Float32Array;
}

/** The model's answer for each image of a set. */
export async function classify(model: Module, set: InMemoryDataset, threads?: number): Promise<Classified> {
  const batch = Math.min(256, set.length);
  const size = sizeOf(set.imageShape);
  const forward = compileForward(model, {
    inputShape: [batch, ...set.imageShape],
    ...(threads === undefined ? {} : { threads }),
  });
  const predictions = new Int32Array(set.length);
  const confidences = new Float32Array(set.length);
  const x = new Float32Array(batch * size); // the last batch is filled up with what the one before left
  try {
    for (let start = 0; start < set.length; start += batch) {
      const count = Math.min(batch, set.length - start);
      x.set(set.images.subarray(start * size, (start + count) * size));
      if (set.normalization) {
        for (let i = 0; i < count; ++i)
          normalize(x.subarray(i * size, (i + 1) * size), set.imageShape, set.normalization);
      }
      const { data } = await forward.run(x);
      const classes = data.length / batch;
      for (let i = 0; i < count; ++i) {
        const scores = Float64Array.from(data.subarray(i * classes, (i + 1) * classes));
        const best = scores.indexOf(Math.max(...scores));
        const total = scores.reduce((sum, score) => sum + Math.exp(score - (scores[best] ?? 0)), 0);
        predictions[start + i] = Math.max(best, 0);
        confidences[start + i] = 1 / total;
      }
    }
  } finally {
    forward.dispose();
  }
  return { predictions, confidences };
}
