import { join } from 'node:path';
import { FoveaError } from '../errors.js';
import { cifarShape, readCifar10 } from '../formats/cifar.js';
import { isFolder, listFolder } from '../formats/file.js';
import { InMemoryDataset, InMemorySplit, measureBytes } from './array-dataset.js';

const classes = ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck'];
const trainFile = /^data_batch_\d+\.bin$/;
const testFile = 'test_batch.bin';

/**
 * CIFAR-10 in its binary version: all `data_batch_*.bin` that are there, and `test_batch.bin`; in the folder itself or in
 * `cifar-10-batches-bin` below it.
 * @returns the training set; its `.test` is the test set
 * @throws FoveaError ERR_IO when a file is missing, ERR_FORMAT when one is not made of whole records, ERR_DATA for labels above 9
 */
export function cifar10(folder: string): InMemorySplit {
  const nested = join(folder, 'cifar-10-batches-bin');
  const place = isFolder(nested) ? nested : folder;
  const names = listFolder(place, 'a folder of CIFAR-10 batches', 'cifar10');
  const batches = names.filter((name) => trainFile.test(name));
  if (batches.length === 0) {
    throw new FoveaError(
      'ERR_IO',
      'cifar10',
      `${place}: looked for data_batch_1.bin and others, found ${names.slice(0, 8).join(', ') || 'nothing'}`,
    );
  }
  const train = readCifar10(batches.map((name) => join(place, name)));
  const normalization = measureBytes(train.images, cifarShape);
  const make = ({ images, labels }: typeof train) =>
    new InMemoryDataset(images, labels, cifarShape, { classes, normalization });
  const readTest = () => make(readCifar10([join(place, testFile)]));
  return new InMemorySplit(make(train), names.includes(testFile) ? readTest() : readTest);
}

/** True when the folder holds CIFAR-10 batches. */
export function looksLikeCifar10(folder: string, names: readonly string[]): boolean {
  return names.some((name) => trainFile.test(name)) || isFolder(join(folder, 'cifar-10-batches-bin'));
}
