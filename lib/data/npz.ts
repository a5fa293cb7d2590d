import { FoveaError } from '../errors.js';
import { readNpzFile } from '../formats/npy.js';
import { allocate, formatShape, sizeOf, Tensor } from '../tensor.js';
import { InMemoryDataset, InMemorySplit, measureBytes } from './array-dataset.js';
import type { Normalization } from './dataset.js';
import { toLabels } from './from-arrays.js';

export interface NpzOptions {
  /**
   * How pictures with channels lie in the file. Default: channels last when the last axis is 1, 3 or 4 and the second is not.
   * Pictures without a channel axis, [T, H, W], get one.
   */
  readonly layout?: 'NCHW' | 'NHWC';
  readonly classes?: readonly string[];
}

/** Names that are looked for, in this order: Keras, MedMNIST, and the plain pair. */
const names = {
  train: [
    ['x_train', 'y_train'],
    ['train_images', 'train_labels'],
    ['train_x', 'train_y'],
    ['x', 'y'],
    ['images', 'labels'],
    ['data', 'labels'],
  ],
  test: [
    ['x_test', 'y_test'],
    ['test_images', 'test_labels'],
    ['test_x', 'test_y'],
  ],
} as const;

/**
 * An npz file with pictures and labels: `x_train y_train x_test y_test` (Keras), `train_images train_labels …` (MedMNIST),
 * or `x y`. uint8 stays bytes and is normalised by the training part's mean and deviation; other types become float32 as they are.
 * @returns the training set; its `.test` is the test set, when the file has one
 * @throws FoveaError ERR_IO, ERR_FORMAT for a damaged archive or missing arrays, ERR_SHAPE, ERR_DATA
 */
export function npz(path: string, options: NpzOptions = {}): InMemorySplit {
  const arrays = readNpzFile(path);
  const find = (pairs: readonly (readonly [string, string])[]) =>
    pairs.find(([x, y]) => arrays.has(x) && arrays.has(y));
  const make = (pair: readonly [string, string], normalization?: Normalization) => {
    const x = arrays.get(pair[0]) ?? Tensor.zeros([0]);
    const y = arrays.get(pair[1]) ?? Tensor.zeros([0]);
    return part(x, y, `${path}: ${pair.join(', ')}`, options, normalization);
  };
  const trainPair = find(names.train);
  if (!trainPair) {
    const wanted = names.train.map((pair) => pair.join(' ')).join(' or ');
    throw new FoveaError(
      'ERR_FORMAT',
      'npz',
      `${path}: looked for ${wanted}, found ${[...arrays.keys()].join(' ') || 'no arrays'}`,
    );
  }
  const train = make(trainPair);
  const testPair = find(names.test);
  if (testPair) return new InMemorySplit(train, make(testPair, train.normalization));
  return new InMemorySplit(train, () => {
    throw new FoveaError(
      'ERR_IO',
      'npz',
      `${path} has no test part: looked for ${names.test.map((pair) => pair.join(' ')).join(' or ')}`,
    );
  });
}

function part(x: Tensor, y: Tensor, source: string, options: NpzOptions, known?: Normalization): InMemoryDataset {
  const count = x.shape[0] ?? 0;
  if (y.size !== count) {
    throw new FoveaError(
      'ERR_SHAPE',
      'npz',
      `${source}: ${formatShape(x.shape)} holds ${count} pictures, ${formatShape(y.shape)} holds ${y.size} labels`,
    );
  }
  const { shape, data } = channelsFirst(x, options.layout);
  const images = data instanceof Uint8Array || data instanceof Float32Array ? data : Float32Array.from(data);
  const normalization = known ?? (images instanceof Uint8Array ? measureBytes(images, shape.slice(1)) : undefined);
  return new InMemoryDataset(images, toLabels(y.data, source), shape.slice(1), {
    classes: options.classes,
    normalization,
  });
}

function channelsFirst(x: Tensor, layout: NpzOptions['layout']): Tensor {
  if (x.shape.length === 3) return x.reshape([x.shape[0] ?? 0, 1, x.shape[1] ?? 0, x.shape[2] ?? 0]);
  if (x.shape.length !== 4) return x;
  const few = (axis: number) => [1, 3, 4].includes(x.shape[axis] ?? 0);
  const last = layout ? layout === 'NHWC' : few(3) && !few(1);
  if (!last) return x;
  const [count = 0, height = 0, width = 0, channels = 0] = x.shape;
  const plane = height * width;
  const data = allocate(x.dtype, sizeOf(x.shape), 'npz');
  for (let i = 0; i < data.length; ++i) {
    const channel = i % channels;
    const pixel = Math.floor(i / channels);
    data[Math.floor(pixel / plane) * plane * channels + channel * plane + (pixel % plane)] = x.data[i] ?? 0;
  }
  return new Tensor([count, channels, height, width], data);
}
