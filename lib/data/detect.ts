import { FoveaError } from '../errors.js';
import { isFile, listFolder } from '../formats/file.js';
import type { InMemorySplit } from './array-dataset.js';
import { cifar10, looksLikeCifar10 } from './cifar10.js';
import { idx, looksLikeIdx } from './idx.js';
import { imageFolder, looksLikeImageFolder } from './image-folder.js';
import { npz } from './npz.js';

export interface OpenedData {
  readonly kind: 'idx' | 'cifar10' | 'imageFolder' | 'npz';
  readonly set: InMemorySplit;
}

/**
 * Opens a data set of any kind that is known by what lies in the folder: IDX files, CIFAR-10 batches, a folder of PNG
 * files per class; or an npz file.
 * @throws FoveaError ERR_IO saying what was looked for and what was found
 */
export function openFolder(path: string): OpenedData {
  if (isFile(path) && /\.npz$/i.test(path)) return { kind: 'npz', set: npz(path) };
  const names = listFolder(path, 'a data set', 'data');
  if (looksLikeIdx(names)) return { kind: 'idx', set: idx(path) };
  if (looksLikeCifar10(path, names)) return { kind: 'cifar10', set: cifar10(path) };
  if (looksLikeImageFolder(path, names)) return { kind: 'imageFolder', set: imageFolder(path) };
  const wanted = 'train-images-idx3-ubyte (IDX), data_batch_1.bin (CIFAR-10) or <class>/*.png (pictures)';
  throw new FoveaError(
    'ERR_IO',
    'data',
    `${path}: looked for ${wanted}, found ${names.slice(0, 8).join(', ') || 'nothing'}`,
  );
}
