import { basename, join, resolve } from 'node:path';
import { FoveaError } from '../errors.js';
import { listFolder } from '../formats/file.js';
import { readIdxFile } from '../formats/idx.js';
import type { Tensor } from '../tensor.js';
import { InMemoryDataset, InMemorySplit, measureBytes } from './array-dataset.js';
import type { Normalization } from './dataset.js';
import { toLabels } from './from-arrays.js';

const fashionClasses = [
  'T-shirt/top',
  'Trouser',
  'Pullover',
  'Dress',
  'Coat',
  'Sandal',
  'Shirt',
  'Sneaker',
  'Bag',
  'Ankle boot',
];

export interface IdxOptions {
  /** Default: the ten of Fashion-MNIST when the folder's name says `fashion`, else the numbers. */
  readonly classes?: readonly string[];
}

/** File names as MNIST, Fashion-MNIST and their copies have them: `train-images-idx3-ubyte.gz`, `train-images.idx3-ubyte`. */
const pattern = { train: 'train', test: 't10k' } as const;

/**
 * MNIST, Fashion-MNIST and others of their layout: `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the same
 * with `t10k`, each plain or gzipped (`.gz`).
 * @returns the training set; its `.test` is the test set
 * @throws FoveaError ERR_IO when a file is missing, ERR_FORMAT when one is damaged, ERR_DATA for labels out of range
 * @example const { train, test } = data.idx('fashion-mnist');
 */
export function idx(folder: string, options: IdxOptions = {}): InMemorySplit {
  const names = listFolder(folder, 'a folder of IDX files', 'idx');
  const train = read(folder, names, pattern.train);
  const normalization = measureBytes(train.images, train.imageShape);
  const classes = options.classes ?? classNames(folder, train.labels);
  const make = (part: Part) => dataset(part, classes, normalization);
  const hasTest = findFile(names, pattern.test, 'images') !== undefined;
  const readTest = () => make(read(folder, names, pattern.test));
  return new InMemorySplit(make(train), hasTest ? readTest() : readTest);
}

interface Part {
  readonly images: Uint8Array;
  readonly labels: Int32Array;
  readonly imageShape: readonly number[];
}

function dataset(
  { images, labels, imageShape }: Part,
  classes: readonly string[],
  normalization: Normalization,
): InMemoryDataset {
  return new InMemoryDataset(images, labels, imageShape, { classes, normalization });
}

function findFile(names: readonly string[], part: string, kind: 'images' | 'labels'): string | undefined {
  const wanted = new RegExp(`^${part}-${kind}[-.]idx${kind === 'images' ? 3 : 1}-ubyte(\\.gz)?$`);
  return names.find((name) => wanted.test(name));
}

/** True when the folder holds IDX training images. */
export function looksLikeIdx(names: readonly string[]): boolean {
  return findFile(names, pattern.train, 'images') !== undefined;
}

function read(folder: string, names: readonly string[], part: string): Part {
  const open = (kind: 'images' | 'labels', rank: 3 | 1): { path: string; tensor: Tensor } => {
    const name = findFile(names, part, kind);
    const wanted = `${part}-${kind}-idx${rank}-ubyte`;
    if (name === undefined) {
      throw new FoveaError(
        'ERR_IO',
        'idx',
        `${folder}: looked for ${wanted} or ${wanted}.gz, found ${names.slice(0, 8).join(', ') || 'nothing'}`,
      );
    }
    const path = join(folder, name);
    const tensor = readIdxFile(path, `IDX ${kind}`);
    if (tensor.dtype === 'uint8' && tensor.shape.length === rank) return { path, tensor };
    throw new FoveaError(
      'ERR_FORMAT',
      'idx',
      `${path}: expected ${rank} axes of uint8, file has ${tensor.dtype} [${tensor.shape.join(', ')}]`,
    );
  };
  const images = open('images', 3);
  const labels = open('labels', 1);
  const [count = 0, height = 0, width = 0] = images.tensor.shape;
  if (count !== labels.tensor.size) {
    throw new FoveaError(
      'ERR_FORMAT',
      'idx',
      `${images.path} has ${count} images, ${labels.path} has ${labels.tensor.size} labels`,
    );
  }
  return {
    images: images.tensor.data as Uint8Array,
    labels: toLabels(labels.tensor.data, labels.path),
    imageShape: [1, height, width],
  };
}

/** Nothing in the files says how many classes there are: ten, or as many as occur, without gaps. */
function classNames(folder: string, labels: Int32Array): readonly string[] {
  if (/fashion/i.test(basename(resolve(folder)))) return fashionClasses;
  const seen = new Set(labels);
  const largest = Math.max(9, ...seen);
  const gap = Array.from({ length: largest }, (_, label) => label).find((label) => !seen.has(label));
  if (largest > 9 && gap !== undefined) {
    const detail = `label ${largest} of sample ${labels.indexOf(largest)} is out of range, since label ${gap} never occurs`;
    throw new FoveaError('ERR_DATA', 'idx', `${folder}: ${detail}; { classes } names classes of one's own`);
  }
  return Array.from({ length: largest + 1 }, (_, label) => String(label));
}
