import type { Tensor } from '../tensor.js';

/** One picture and its class. */
export interface Sample {
  /** The picture as the model sees it, without the batch axis: [C, H, W]. */
  readonly x: Tensor;
  readonly y: number;
}

/** Anything that knows how many samples it has and can hand one over, now or later. */
export interface Dataset {
  readonly length: number;
  get(index: number): Sample | Promise<Sample>;
}

/** What turns stored pixels into what the model sees: `(pixel · scale − mean[c]) / std[c]`. */
export interface Normalization {
  readonly scale: number;
  /** One per channel, in units of `pixel · scale`. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/** A data set that lies in memory as a whole, so that batches are gathered, converted and normalised natively. */
export interface ArrayDataset extends Dataset {
  get(index: number): Sample;
  /** Row-major [length, ...imageShape], as stored: not yet normalised. */
  readonly images: Uint8Array | Float32Array;
  /** [length], each in 0 … classes − 1. */
  readonly labels: Int32Array;
  /** Shape of one sample, [C, H, W] for pictures. */
  readonly imageShape: readonly number[];
  /** Names of the classes, in the order of the labels. */
  readonly classes?: readonly string[] | undefined;
  /** Constants measured on the training part; the test part carries the same. Absent: used as stored. */
  readonly normalization?: Normalization | undefined;
}

/** A training set that knows the test set which belongs to it. It is the training set itself, so `fit(model, set)` works. */
export interface SplitDataset extends ArrayDataset {
  /** The training part: this very set. */
  readonly train: ArrayDataset;
  /** @throws FoveaError ERR_IO when the folder holds no test part. */
  readonly test: ArrayDataset;
}

/** True for data sets that expose their storage. */
export function isArrayDataset(dataset: unknown): dataset is ArrayDataset {
  if (typeof dataset !== 'object' || dataset === null) return false;
  const { images, labels, imageShape } = dataset as Partial<ArrayDataset>;
  return (
    (images instanceof Uint8Array || images instanceof Float32Array) &&
    labels instanceof Int32Array &&
    Array.isArray(imageShape)
  );
}
