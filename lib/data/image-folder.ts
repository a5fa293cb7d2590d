import { join } from 'node:path';
import { FoveaError } from '../errors.js';
import { isFolder, listFolder, readBytes } from '../formats/file.js';
import { decodePng, type Picture, readPngHeader } from '../formats/png.js';
import { allocate } from '../tensor.js';
import { InMemoryDataset, InMemorySplit, measureBytes } from './array-dataset.js';

/**
 * PNG files in one folder per class: `<folder>/train/<class>/*.png` and `<folder>/test/<class>/*.png` (or `val`, `valid`),
 * or, without a test part, `<folder>/<class>/*.png`. Classes are numbered in alphabetical order of the training part.
 * All pictures have one size; when one is in colour, all are taken as colour ([3, H, W], else [1, H, W]).
 * @returns the training set; its `.test` is the test set
 * @throws FoveaError ERR_IO when nothing is found, ERR_FORMAT for a damaged PNG, ERR_DATA when sizes or classes differ
 */
export function imageFolder(folder: string): InMemorySplit {
  const names = listFolder(folder, 'a folder of pictures', 'imageFolder');
  const trainFolder = names.includes('train') ? join(folder, 'train') : folder;
  const testName = ['test', 'val', 'valid'].find((name) => names.includes(name));
  const hasTest = trainFolder !== folder && testName !== undefined;
  const train = findPictures(trainFolder);
  const test = hasTest ? findPictures(join(folder, testName), train.classes) : undefined;
  const channels = [...train.files, ...(test?.files ?? [])].some((file) => file.channels === 3) ? 3 : 1;
  const [first] = train.files;
  const imageShape = [channels, first?.height ?? 0, first?.width ?? 0];
  const images = decodeAll([...train.files], imageShape);
  const normalization = measureBytes(images, imageShape);
  const make = (pixels: Uint8Array, found: Found) =>
    new InMemoryDataset(
      pixels,
      Int32Array.from(found.files, (file) => file.label),
      imageShape,
      { classes: train.classes, normalization },
    );
  return new InMemorySplit(
    make(images, train),
    test
      ? make(decodeAll(test.files, imageShape), test)
      : () => {
          throw new FoveaError(
            'ERR_IO',
            'imageFolder',
            `${folder}: looked for train and test folders, found ${names.slice(0, 8).join(', ')}`,
          );
        },
  );
}

interface PictureFile {
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly label: number;
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3;
}

interface Found {
  readonly classes: readonly string[];
  readonly files: readonly PictureFile[];
}

/** Reads files and headers, decodes nothing yet. */
function findPictures(folder: string, known?: readonly string[]): Found {
  const found = listFolder(folder, 'a folder per class', 'imageFolder').filter((name) => isFolder(join(folder, name)));
  const stranger = known && found.find((name) => !known.includes(name));
  if (stranger !== undefined) {
    throw new FoveaError(
      'ERR_DATA',
      'imageFolder',
      `${join(folder, stranger)}: no such class in the training part, which has ${known?.join(', ')}`,
    );
  }
  const classes = known ?? found;
  const files = found.flatMap((name) => {
    const pngs = listFolder(join(folder, name), `pictures of class ${name}`, 'imageFolder').filter((file) =>
      /\.png$/i.test(file),
    );
    return pngs.map((file): PictureFile => {
      const path = join(folder, name, file);
      const bytes = readBytes(path, 'PNG', 'imageFolder');
      return { path, bytes, label: classes.indexOf(name), ...readPngHeader(bytes, path) };
    });
  });
  if (files.length === 0)
    throw new FoveaError(
      'ERR_IO',
      'imageFolder',
      `${folder}: looked for <class>/*.png, found ${found.join(', ') || 'no folders'}`,
    );
  return { classes, files };
}

/** [T, C, H, W] from interleaved pixels. */
function decodeAll(
  files: readonly PictureFile[],
  [channels = 1, height = 0, width = 0]: readonly number[],
): Uint8Array {
  const different = files.find((file) => file.height !== height || file.width !== width);
  if (different) {
    throw new FoveaError(
      'ERR_DATA',
      'imageFolder',
      `${different.path} is ${different.width}x${different.height} pixels, the first picture is ${width}x${height}: all must be of one size`,
    );
  }
  const plane = height * width;
  const images = allocate('uint8', files.length * channels * plane, 'imageFolder') as Uint8Array;
  files.forEach(({ bytes, path }, index) => {
    const picture = decodePng(bytes, path);
    for (let c = 0; c < channels; ++c) copyPlane(picture, c, images.subarray((index * channels + c) * plane));
  });
  return images;
}

/** A grey picture gives its one plane for every channel. */
function copyPlane({ data, channels, width, height }: Picture, channel: number, target: Uint8Array): void {
  const source = channels === 1 ? 0 : channel;
  for (let i = 0; i < width * height; ++i) target[i] = data[i * channels + source] ?? 0;
}

/** True when the folder holds a folder per class with PNG files, or `train` with such. */
export function looksLikeImageFolder(folder: string, names: readonly string[]): boolean {
  const place = names.includes('train') ? join(folder, 'train') : folder;
  if (!isFolder(place)) return false;
  return listFolder(place, 'pictures', 'imageFolder').some((name) => {
    const inner = join(place, name);
    return isFolder(inner) && listFolder(inner, 'pictures', 'imageFolder').some((file) => /\.png$/i.test(file));
  });
}
