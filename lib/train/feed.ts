import type { Spec } from '../backend/backend.js';
import { type ArrayDataset, type Dataset, isArrayDataset, type Sample } from '../data/dataset.js';
import { FoveaError } from '../errors.js';
import { gather, gatherLabels } from '../ops/internal/gather.js';
import type { Value } from '../ops/operator.js';
import { allocate, formatShape, sizeOf, Tensor, type TypedArray } from '../tensor.js';

/** What `fit` and `evaluate` take: data sets in memory, anything with `length` and `get`, or a stream of samples. */
export type DataSource = ArrayDataset | Dataset | AsyncIterable<Sample>;

/** The arrays of one batch, in the order of `Feed.inputs`. */
export interface Batch {
  readonly size: number;
  readonly arrays: readonly TypedArray[];
}

/** How samples come into a program: what the program takes, and how it makes x and labels of that. */
export interface Feed {
  readonly sampleShape: readonly number[];
  /** Undefined for streams. */
  readonly length: number | undefined;
  inputs(batch: number): Spec[];
  read(inputs: readonly Value[]): { x: Value; labels: Value };
  /**
   * @param order  sample numbers in the order wanted; undefined: as they come. Streams ignore it
   * @param skip   batches to leave out at the start
   */
  batches(batch: number, order: Int32Array | undefined, skip: number): AsyncIterable<Batch>;
}

/** @throws FoveaError ERR_DATA when it is nothing that samples can be read from, or empty */
export async function openFeed(source: DataSource, operator: string): Promise<Feed> {
  if (isArrayDataset(source)) return new ArrayFeed(source, operator);
  if (isIndexed(source)) return SampleFeed.open(source, operator);
  if (isStream(source)) return StreamFeed.open(source, operator);
  throw new FoveaError(
    'ERR_DATA',
    operator,
    'a data set has `length` and `get(i)`, or is an async iterable of { x, y }',
  );
}

function isIndexed(source: unknown): source is Dataset {
  return typeof source === 'object' && source !== null && 'get' in source && 'length' in source;
}

function isStream(source: unknown): source is AsyncIterable<Sample> {
  return typeof source === 'object' && source !== null && Symbol.asyncIterator in source;
}

function checkLength(length: number, operator: string): void {
  if (!Number.isSafeInteger(length) || length < 1) {
    throw new FoveaError('ERR_DATA', operator, `the data set must hold at least one sample, its length is ${length}`);
  }
}

/** A data set in memory: only sample numbers cross over; the program gathers, converts and normalises. */
class ArrayFeed implements Feed {
  readonly sampleShape: readonly number[];
  readonly length: number;
  private readonly images: Tensor;
  private readonly labels: Tensor;
  private readonly scale: number;
  private readonly mean: Tensor | undefined;
  private readonly std: Tensor | undefined;

  constructor(dataset: ArrayDataset, operator: string) {
    const { images, labels, imageShape, normalization } = dataset;
    checkLength(labels.length, operator);
    this.sampleShape = imageShape;
    this.length = labels.length;
    this.images = new Tensor([labels.length, ...imageShape], images);
    this.labels = new Tensor([labels.length], labels);
    this.scale = normalization?.scale ?? 1;
    this.mean = normalization && new Tensor([normalization.mean.length], Float32Array.from(normalization.mean));
    this.std = normalization && new Tensor([normalization.std.length], Float32Array.from(normalization.std));
  }

  inputs(batch: number): Spec[] {
    return [{ shape: [batch], dtype: 'int32' }];
  }

  read([indices]: readonly Value[]): { x: Value; labels: Value } {
    const x = gather(this.images, indices as Value, this.mean, this.std, { scale: this.scale });
    return { x, labels: gatherLabels(this.labels, indices as Value) };
  }

  async *batches(batch: number, order: Int32Array | undefined, skip: number): AsyncIterable<Batch> {
    const all = order ?? Int32Array.from({ length: this.length }, (_, i) => i);
    for (let start = skip * batch; start < this.length; start += batch) {
      const indices = all.slice(start, start + batch);
      yield { size: indices.length, arrays: [indices] };
    }
  }
}

/** Batches put together in JavaScript, sample by sample. */
abstract class AssembledFeed implements Feed {
  abstract readonly length: number | undefined;
  abstract batches(batch: number, order: Int32Array | undefined, skip: number): AsyncIterable<Batch>;

  constructor(
    readonly sampleShape: readonly number[],
    protected readonly operator: string,
  ) {}

  inputs(batch: number): Spec[] {
    return [
      { shape: [batch, ...this.sampleShape], dtype: 'float32' },
      { shape: [batch], dtype: 'int32' },
    ];
  }

  read([x, labels]: readonly Value[]): { x: Value; labels: Value } {
    return { x: x as Value, labels: labels as Value };
  }

  protected assemble(samples: readonly Sample[], first: number): Batch {
    const size = sizeOf(this.sampleShape);
    const x = allocate('float32', samples.length * size, this.operator);
    const labels = new Int32Array(samples.length);
    samples.forEach((sample, i) => {
      checkSample(sample, first + i, this.operator);
      if (formatShape(sample.x.shape) !== formatShape(this.sampleShape)) {
        const detail = `sample ${first + i} is ${formatShape(sample.x.shape)}, the first was ${formatShape(this.sampleShape)}`;
        throw new FoveaError('ERR_SHAPE', this.operator, detail);
      }
      x.set(sample.x.data, i * size);
      labels[i] = sample.y;
    });
    return { size: samples.length, arrays: [x, labels] };
  }
}

function checkSample(sample: unknown, number: number, operator: string): asserts sample is Sample {
  const { x, y } = (sample ?? {}) as Partial<Sample>;
  if (!(x instanceof Tensor) || !Number.isInteger(y)) {
    throw new FoveaError('ERR_DATA', operator, `sample ${number} must be { x: Tensor, y: whole number }`);
  }
}

/** Anything with `length` and `get(i)`. */
class SampleFeed extends AssembledFeed {
  readonly length: number;

  private constructor(
    sampleShape: readonly number[],
    operator: string,
    private readonly dataset: Dataset,
  ) {
    super(sampleShape, operator);
    this.length = dataset.length;
  }

  /** Reads one sample, to know its shape. */
  static async open(dataset: Dataset, operator: string): Promise<SampleFeed> {
    checkLength(dataset.length, operator);
    const first: unknown = await dataset.get(0);
    checkSample(first, 0, operator);
    return new SampleFeed(first.x.shape, operator, dataset);
  }

  async *batches(batch: number, order: Int32Array | undefined, skip: number): AsyncIterable<Batch> {
    for (let start = skip * batch; start < this.length; start += batch) {
      const count = Math.min(batch, this.length - start);
      const samples = Array.from({ length: count }, (_, i) => this.dataset.get(order?.[start + i] ?? start + i));
      yield this.assemble(await Promise.all(samples), start);
    }
  }
}

/** A stream of samples. Each epoch iterates it anew; one that can be read only once lasts for one epoch. */
class StreamFeed extends AssembledFeed {
  readonly length = undefined;

  private constructor(
    sampleShape: readonly number[],
    operator: string,
    private readonly source: AsyncIterable<Sample>,
    private readonly started: { iterator: AsyncIterator<Sample>; first: Sample },
  ) {
    super(sampleShape, operator);
  }

  /** Reads one sample, to know its shape; the first epoch goes on from there. */
  static async open(source: AsyncIterable<Sample>, operator: string): Promise<StreamFeed> {
    const iterator = source[Symbol.asyncIterator]();
    const { done, value } = await iterator.next();
    if (done) throw new FoveaError('ERR_DATA', operator, 'the stream of samples is empty');
    checkSample(value, 0, operator);
    return new StreamFeed(value.x.shape, operator, source, { iterator, first: value });
  }

  private epochs = 0;

  private async *samples(): AsyncIterable<Sample> {
    if (this.epochs++ > 0) {
      yield* this.source;
      return;
    }
    yield this.started.first;
    const { iterator } = this.started;
    yield* { [Symbol.asyncIterator]: () => iterator }; // left early, it closes the stream
  }

  async *batches(batch: number, _order: Int32Array | undefined, skip: number): AsyncIterable<Batch> {
    let samples: Sample[] = [];
    let number = 0;
    for await (const sample of this.samples()) {
      samples.push(sample);
      number++;
      if (samples.length < batch) continue;
      if (number > skip * batch) yield this.assemble(samples, number - samples.length);
      samples = [];
    }
    if (samples.length > 0) yield this.assemble(samples, number - samples.length);
  }
}
