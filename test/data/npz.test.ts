import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import AdmZip from 'adm-zip';
import { expect, test } from 'vitest';
import { npz } from '../../lib/data/npz.js';
import { expectError, temporaryFolder } from '../formats/helpers.js';

function npy(shape: readonly number[], data: readonly number[]): Buffer {
  const sizes = `${shape.join(', ')}${shape.length === 1 ? ',' : ''}`;
  const header = `{'descr': '|u1', 'fortran_order': False, 'shape': (${sizes}), }\n`;
  const start = Buffer.from(`\x93NUMPY\x01\x00${String.fromCharCode(header.length, 0)}${header}`, 'latin1');
  return Buffer.concat([start, Buffer.from(data)]);
}

function archive(arrays: Record<string, Buffer>): string {
  const zip = new AdmZip();
  for (const [name, bytes] of Object.entries(arrays)) zip.addFile(`${name}.npy`, bytes);
  const path = join(temporaryFolder(), 'set.npz');
  writeFileSync(path, zip.toBuffer());
  return path;
}

test('Keras names, pictures without channel axis', () => {
  const path = archive({
    x_train: npy([2, 1, 2], [0, 255, 255, 0]),
    y_train: npy([2], [1, 0]),
    x_test: npy([1, 1, 2], [1, 2]),
    y_test: npy([1], [1]),
  });
  const set = npz(path);
  expect(set).toMatchObject({ length: 2, imageShape: [1, 1, 2] });
  expect(set.normalization).toEqual({ scale: 1 / 255, mean: [0.5], std: [0.5] });
  expect([...set.test.labels]).toEqual([1]);
});

test('MedMNIST names and layout: channels last, labels in a column', () => {
  const path = archive({
    train_images: npy([1, 2, 2, 3], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
    train_labels: npy([1, 1], [4]),
  });
  const set = npz(path);
  expect(set.imageShape).toEqual([3, 2, 2]);
  expect([...set.images]).toEqual([1, 4, 7, 10, 2, 5, 8, 11, 3, 6, 9, 12]);
  expectError(() => set.test, 'ERR_IO', 'no test part');
  expect(npz(path, { layout: 'NCHW' }).imageShape).toEqual([2, 2, 3]);
});

test('what is missing or does not fit', () => {
  expectError(() => npz(join(temporaryFolder(), 'none.npz')), 'ERR_IO', 'none.npz');
  expectError(() => npz(archive({ a: npy([1], [1]) })), 'ERR_FORMAT', 'x_train y_train', 'found a');
  expectError(
    () => npz(archive({ x: npy([2, 1, 1], [1, 2]), y: npy([3], [1, 2, 3]) })),
    'ERR_SHAPE',
    '2 pictures',
    '3 labels',
  );
});
