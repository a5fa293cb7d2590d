import { FoveaError } from '../errors.js';
import { Random } from '../random.js';
import { formatShape, sizeOf, Tensor } from '../tensor.js';
import type { ArrayDataset, Normalization, Sample, SplitDataset } from './dataset.js';

export interface ArrayDatasetOptions {
  /** Names of the classes. Labels must be below their number. */
  readonly classes?: readonly string[] | undefined;
  readonly normalization?: Normalization | undefined;
}

/** Pictures and labels in two typed arrays. */
export class InMemoryDataset implements ArrayDataset {
  readonly classes: readonly string[] | undefined;
  readonly normalization: Normalization | undefined;

  /**
   * @param images      [labels.length, ...imageShape], not copied
   * @param labels      one per picture
   * @param imageShape  [C, H, W]
   * @throws FoveaError ERR_SHAPE when the lengths do not agree, ERR_DATA for labels out of range
   */
  constructor(
    readonly images: Uint8Array | Float32Array,
    readonly labels: Int32Array,
    readonly imageShape: readonly number[],
    options: ArrayDatasetOptions = {},
  ) {
    const expected = labels.length * sizeOf(imageShape);
    if (images.length !== expected) {
      const arithmetic = `${labels.length} · ${imageShape.join(' · ')} = ${expected}`;
      throw new FoveaError(
        'ERR_SHAPE',
        'data',
        `${labels.length} labels of ${formatShape(imageShape)} need ${arithmetic} values, images hold ${images.length}`,
      );
    }
    this.classes = options.classes;
    this.normalization = options.normalization;
    checkLabels(labels, options.classes?.length);
  }

  get length(): number {
    return this.labels.length;
  }

  /** The picture as the model sees it: float32, normalised. @throws FoveaError ERR_OPTION for an index out of range */
  get(index: number): Sample {
    if (!Number.isInteger(index) || index < 0 || index >= this.length) {
      throw new FoveaError('ERR_OPTION', 'get', `index ${index} is not in 0..${this.length - 1}`);
    }
    const size = sizeOf(this.imageShape);
    const pixels = Float32Array.from(this.images.subarray(index * size, (index + 1) * size));
    if (this.normalization) normalize(pixels, this.imageShape, this.normalization);
    return { x: new Tensor(this.imageShape, pixels), y: this.labels[index] ?? 0 };
  }

  /** The first `count` samples, sharing memory with this set; this set itself when it has no more. */
  take(count: number): InMemoryDataset {
    checkCount('take', count);
    if (count >= this.length) return this;
    const images = this.images.subarray(0, count * sizeOf(this.imageShape));
    return new InMemoryDataset(images, this.labels.subarray(0, count), this.imageShape, this);
  }

  /** `count` samples drawn at random, in the order that they have here, copied; this set itself when it has no more. */
  sample(count: number, seed: number): InMemoryDataset {
    checkCount('sample', count);
    if (count >= this.length) return this;
    const size = sizeOf(this.imageShape);
    const chosen = new Random(seed).permutation(this.length).subarray(0, count).sort();
    const images = this.images.slice(0, count * size);
    chosen.forEach((from, to) => {
      images.set(this.images.subarray(from * size, (from + 1) * size), to * size);
    });
    const labels = Int32Array.from(chosen, (from) => this.labels[from] ?? 0);
    return new InMemoryDataset(images, labels, this.imageShape, this);
  }
}

/** @throws FoveaError ERR_OPTION */
function checkCount(operator: string, count: number): void {
  if (Number.isInteger(count) && count >= 1) return;
  throw new FoveaError('ERR_OPTION', operator, `count must be a whole number >= 1, got ${count}`);
}

/** A training set with the test set that belongs to it. */
export class InMemorySplit extends InMemoryDataset implements SplitDataset {
  private readonly testPart: () => InMemoryDataset;

  /** @param test  the test set, or a function that makes it when it is first asked for (and may throw) */
  constructor(train: InMemoryDataset, test: InMemoryDataset | (() => InMemoryDataset)) {
    super(train.images, train.labels, train.imageShape, train);
    let made = typeof test === 'function' ? undefined : test;
    this.testPart = () => {
      made ??= typeof test === 'function' ? test() : test;
      return made;
    };
  }

  get train(): InMemoryDataset {
    return this;
  }

  get test(): InMemoryDataset {
    return this.testPart();
  }
}

/** In place: (pixel · scale − mean[c]) / std[c]. The channel is the first axis; a set without channel axis has one channel. */
export function normalize(
  pixels: Float32Array,
  imageShape: readonly number[],
  { scale, mean, std }: Normalization,
): void {
  const plane = sizeOf(imageShape.slice(1));
  for (let i = 0; i < pixels.length; ++i) {
    const channel = Math.floor(i / plane);
    pixels[i] = ((pixels[i] ?? 0) * scale - (mean[channel] ?? 0)) / (std[channel] ?? 1);
  }
}

/**
 * Mean and standard deviation of each channel over all pixels.
 * @param images  [T, C, ...] bytes: counted, so the sums are exact
 */
export function measureBytes(images: Uint8Array, imageShape: readonly number[]): Normalization {
  const channels = imageShape[0] ?? 1;
  const plane = sizeOf(imageShape.slice(1));
  const counts = Array.from({ length: channels }, () => new Float64Array(256));
  for (let start = 0, channel = 0; start < images.length; start += plane, channel = (channel + 1) % channels) {
    const count = counts[channel] ?? new Float64Array(256);
    for (let i = start; i < start + plane; ++i) {
      const value = images[i] ?? 0;
      count[value] = (count[value] ?? 0) + 1;
    }
  }
  const moments = counts.map((count) => {
    const total = count.reduce((sum, n) => sum + n, 0) || 1;
    const mean = count.reduce((sum, n, value) => sum + n * value, 0) / total;
    const variance = count.reduce((sum, n, value) => sum + n * (value - mean) ** 2, 0) / total;
    return { mean: mean / 255, std: Math.sqrt(variance) / 255 || 1 }; // a constant channel is only shifted
  });
  return { scale: 1 / 255, mean: moments.map(({ mean }) => mean), std: moments.map(({ std }) => std) };
}

/** @throws FoveaError ERR_DATA naming the first label that is negative or has no class */
function checkLabels(labels: Int32Array, classes: number | undefined): void {
  const limit = classes ?? Number.POSITIVE_INFINITY;
  const bad = labels.findIndex((label) => label < 0 || label >= limit);
  if (bad < 0) return;
  const range = classes === undefined ? '0 or more' : `0..${classes - 1} (${classes} classes)`;
  throw new FoveaError('ERR_DATA', 'data', `label ${labels[bad]} of sample ${bad} is not ${range}`);
}
