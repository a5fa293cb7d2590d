import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { cifar10 } from '../../lib/data/cifar10.js';
import { openFolder } from '../../lib/data/detect.js';
import { idx } from '../../lib/data/idx.js';
import { imageFolder } from '../../lib/data/image-folder.js';
import { encodePng } from '../../lib/formats/png.js';
import { expectError, idxBytes, temporaryFolder } from '../formats/helpers.js';

function idxFolder(): string {
  const folder = temporaryFolder();
  const images = Uint8Array.from({ length: 3 * 4 }, (_, i) => i * 20);
  writeFileSync(join(folder, 'train-images-idx3-ubyte.gz'), gzipSync(idxBytes([3, 2, 2], images)));
  writeFileSync(join(folder, 'train-labels-idx1-ubyte.gz'), gzipSync(idxBytes([3], [0, 9, 4])));
  writeFileSync(join(folder, 't10k-images.idx3-ubyte'), idxBytes([1, 2, 2], images.subarray(0, 4)));
  writeFileSync(join(folder, 't10k-labels.idx1-ubyte'), idxBytes([1], [7]));
  return folder;
}

describe('idx', () => {
  test('reads both parts, gzipped or plain', () => {
    const { train, test: held } = idx(idxFolder());
    expect(train).toMatchObject({ length: 3, imageShape: [1, 2, 2], classes: [...'0123456789'] });
    expect([...train.labels]).toEqual([0, 9, 4]);
    expect([...held.labels]).toEqual([7]);
    expect(held.normalization).toEqual(train.normalization);
    expect(train.normalization?.mean[0]).toBeCloseTo(110 / 255, 12);
  });

  test('missing folder and missing files are named, with what was looked for', () => {
    const folder = temporaryFolder();
    expectError(() => idx(join(folder, 'nowhere')), 'ERR_IO', 'nowhere', 'ENOENT');
    expectError(() => idx(folder), 'ERR_IO', folder, 'train-images-idx3-ubyte', 'nothing');
    writeFileSync(join(folder, 'train-images-idx3-ubyte'), idxBytes([1, 2, 2], [1, 2, 3, 4]));
    expectError(() => idx(folder), 'ERR_IO', 'train-labels-idx1-ubyte', 'found train-images-idx3-ubyte');
    writeFileSync(join(folder, 'train-labels-idx1-ubyte'), idxBytes([1], [3]));
    const set = idx(folder);
    expect(set.length).toBe(1);
    expectError(() => set.test, 'ERR_IO', 't10k-images-idx3-ubyte');
  });

  test('images and labels of different number', () => {
    const folder = idxFolder();
    writeFileSync(join(folder, 'train-labels-idx1-ubyte.gz'), gzipSync(idxBytes([2], [0, 9])));
    expectError(() => idx(folder), 'ERR_FORMAT', '3 images', '2 labels');
  });

  test('labels where images should be', () => {
    const folder = idxFolder();
    writeFileSync(join(folder, 'train-images-idx3-ubyte.gz'), gzipSync(idxBytes([3], [0, 9, 4])));
    expectError(() => idx(folder), 'ERR_FORMAT', 'expected 3 axes', '[3]');
  });

  test('labels out of range', () => {
    const folder = join(temporaryFolder(), 'fashion');
    mkdirSync(folder);
    writeFileSync(join(folder, 'train-images-idx3-ubyte'), idxBytes([2, 1, 1], [1, 2]));
    writeFileSync(join(folder, 'train-labels-idx1-ubyte'), idxBytes([2], [3, 10]));
    expectError(() => idx(folder), 'ERR_DATA', 'label 10 of sample 1 is not 0..9');
    const plain = idxFolder();
    writeFileSync(join(plain, 'train-labels-idx1-ubyte.gz'), gzipSync(idxBytes([3], [0, 200, 4])));
    expectError(() => idx(plain), 'ERR_DATA', 'label 200 of sample 1 is out of range');
    writeFileSync(join(plain, 'train-labels-idx1-ubyte.gz'), gzipSync(idxBytes([3], [0, 1, 4])));
    writeFileSync(join(plain, 't10k-labels.idx1-ubyte'), idxBytes([1], [12]));
    expectError(() => idx(plain), 'ERR_DATA', 'label 12 of sample 0 is not 0..9');
  });
});

describe('cifar10', () => {
  const record = (label: number) => Uint8Array.from({ length: 3073 }, (_, i) => (i === 0 ? label : i % 251));

  test('reads all batches in order', () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'data_batch_1.bin'), Buffer.concat([record(3), record(1)]));
    writeFileSync(join(folder, 'data_batch_2.bin'), record(9));
    writeFileSync(join(folder, 'test_batch.bin'), record(5));
    const set = cifar10(folder);
    expect([...set.labels]).toEqual([3, 1, 9]);
    expect(set.imageShape).toEqual([3, 32, 32]);
    expect([...set.test.labels]).toEqual([5]);
    expect(set.images[3072 + 10]).toBe(11);
    expect(set.classes?.[9]).toBe('truck');
  });

  test('damage', () => {
    const folder = temporaryFolder();
    const path = join(folder, 'data_batch_1.bin');
    expectError(() => cifar10(folder), 'ERR_IO', 'data_batch_1.bin', 'nothing');
    writeFileSync(path, Buffer.concat([record(3), record(1)]).subarray(0, 5000));
    expectError(() => cifar10(folder), 'ERR_FORMAT', path, 'records of 3073 bytes', '5000 = 1 · 3073 + 1927');
    writeFileSync(path, '');
    expectError(() => cifar10(folder), 'ERR_FORMAT', path);
    writeFileSync(path, Buffer.concat([record(3), record(10)]));
    expectError(() => cifar10(folder), 'ERR_DATA', path, 'label 10 of record 1 is not in 0..9');
    writeFileSync(path, record(3));
    const set = cifar10(folder);
    expectError(() => set.test, 'ERR_IO', 'test_batch.bin');
  });
});

describe('imageFolder', () => {
  const png = (channels: 1 | 3, value: number, width = 2) =>
    encodePng({ width, height: 2, channels, data: new Uint8Array(width * 2 * channels).fill(value) });

  function folderOf(files: Record<string, Uint8Array>): string {
    const folder = temporaryFolder();
    for (const [name, bytes] of Object.entries(files)) {
      mkdirSync(join(folder, name, '..'), { recursive: true });
      writeFileSync(join(folder, name), bytes);
    }
    return folder;
  }

  test('classes in alphabetical order; grey pictures among coloured ones', () => {
    const folder = folderOf({
      'train/dog/a.png': png(1, 9),
      'train/cat/b.png': png(3, 7),
      'train/cat/notes.txt': Buffer.from('x'),
      'test/dog/c.png': png(3, 5),
    });
    const set = imageFolder(folder);
    expect(set).toMatchObject({ length: 2, classes: ['cat', 'dog'], imageShape: [3, 2, 2] });
    expect([...set.labels]).toEqual([0, 1]);
    expect([...set.images]).toEqual([...Array(12).fill(7), ...Array(12).fill(9)]);
    expect([...set.test.labels]).toEqual([1]);
  });

  test('without a test part', () => {
    const set = imageFolder(folderOf({ 'a/1.png': png(1, 1), 'b/1.png': png(1, 2) }));
    expect(set).toMatchObject({ length: 2, imageShape: [1, 2, 2] });
    expectError(() => set.test, 'ERR_IO', 'test');
  });

  test('channels become planes', () => {
    const data = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12);
    const set = imageFolder(folderOf({ 'a/1.png': encodePng({ width: 2, height: 2, channels: 3, data }) }));
    expect([...set.images]).toEqual([1, 4, 7, 10, 2, 5, 8, 11, 3, 6, 9, 12]);
  });

  test('damage', () => {
    expectError(
      () => imageFolder(folderOf({ 'a/1.png': png(1, 1).subarray(0, 60) })),
      'ERR_FORMAT',
      '1.png',
      '60 bytes',
    );
    expectError(
      () => imageFolder(folderOf({ 'a/1.png': png(1, 1), 'a/2.png': png(1, 1, 3) })),
      'ERR_DATA',
      '3x2',
      '2x2',
    );
    expectError(
      () => imageFolder(folderOf({ 'train/a/1.png': png(1, 1), 'test/b/1.png': png(1, 1) })),
      'ERR_DATA',
      'no such class',
    );
    expectError(() => imageFolder(folderOf({ 'a/readme.txt': Buffer.from('') })), 'ERR_IO', 'looked for');
    expectError(() => imageFolder(join(temporaryFolder(), 'nowhere')), 'ERR_IO', 'nowhere');
  });
});

describe('openFolder', () => {
  test('tells the kinds apart and says what it knows', () => {
    expect(openFolder(idxFolder()).kind).toBe('idx');
    const empty = temporaryFolder();
    expectError(() => openFolder(empty), 'ERR_IO', empty, 'train-images-idx3-ubyte', 'data_batch_1.bin', 'png');
    expectError(() => openFolder(join(empty, 'nowhere')), 'ERR_IO', 'nowhere');
  });
});

const shared = join(import.meta.dirname, '../../../shared/data');

describe.skipIf(!existsSync(shared))('the real sets (skipped when ../shared/data is missing)', () => {
  test('Fashion-MNIST', () => {
    const { kind, set } = openFolder(join(shared, 'fashion-mnist'));
    expect([kind, set.length, set.test.length, set.classes?.[9]]).toEqual(['idx', 60_000, 10_000, 'Ankle boot']);
    expect(set.normalization?.mean[0]).toBeCloseTo(0.286041, 6);
    expect(set.normalization?.std[0]).toBeCloseTo(0.353024, 6);
  });

  test('MNIST', () => {
    const { set } = openFolder(join(shared, 'mnist'));
    expect(set.normalization?.mean[0]).toBeCloseTo(0.13066, 6);
    const counts = Array.from({ length: 10 }, (_, digit) => set.labels.filter((label) => label === digit).length);
    expect(counts).toEqual([5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]);
  });

  test('the CIFAR-10 folder is a subset of the binary set', () => {
    const binary = openFolder(join(shared, 'cifar10'));
    const folder = openFolder(join(shared, 'cifar10-folder'));
    expect([binary.kind, binary.set.length, binary.set.test.length]).toEqual(['cifar10', 10_000, 10_000]);
    expect([folder.kind, folder.set.length, folder.set.test.length]).toEqual(['imageFolder', 5_000, 1_000]);
    expect(folder.set.classes).toEqual(binary.set.classes);
    const key = (images: Uint8Array | Float32Array, i: number) =>
      Buffer.from(images.subarray(3072 * i, 3072 * (i + 1))).toString('latin1');
    const known = new Map(Array.from(binary.set.labels, (label, i) => [key(binary.set.images, i), label]));
    const found = Array.from(folder.set.labels, (_, i) => known.get(key(folder.set.images, i)));
    expect(found).toEqual([...folder.set.labels]);
  });
});
