import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { parseIdx } from '../../lib/formats/idx.js';
import { expectError, idxBytes } from './helpers.js';

const pixels = Array.from({ length: 24 }, (_, i) => i * 10);
const plain = idxBytes([2, 3, 4], pixels);
const packed = gzipSync(plain);

describe('reading', () => {
  for (const [name, bytes] of Object.entries({ plain, gzip: packed })) {
    test(name, () => {
      const tensor = parseIdx(bytes);
      expect(tensor.shape).toEqual([2, 3, 4]);
      expect(tensor.dtype).toBe('uint8');
      expect([...tensor.data]).toEqual(pixels);
    });
  }

  test('wider elements are big-endian', () => {
    const bytes = Buffer.alloc(8 + 8);
    bytes.writeUInt32BE(0x0d01, 0);
    bytes.writeUInt32BE(2, 4);
    bytes.writeFloatBE(1.5, 8);
    bytes.writeFloatBE(-2, 12);
    expect([...parseIdx(bytes).data]).toEqual([1.5, -2]);
  });
});

describe('damage', () => {
  test('every truncation of a plain file is reported with both sizes', () => {
    for (let length = 0; length < plain.length; ++length) {
      expectError(() => parseIdx(plain.subarray(0, length), 'train'), 'ERR_FORMAT', 'train', `${length}`);
    }
  });

  test('every truncation of a gzip file is reported', () => {
    for (let length = 0; length < packed.length; ++length) {
      expectError(() => parseIdx(packed.subarray(0, length), 'train.gz'), 'ERR_FORMAT', 'train.gz');
    }
  });

  test('every flipped byte of the compressed stream and its checksum is reported', () => {
    for (let at = 10; at < packed.length; ++at) {
      const broken = Buffer.from(packed);
      broken[at] = (broken[at] ?? 0) ^ 0x55;
      expectError(() => parseIdx(broken, 'train.gz'), 'ERR_FORMAT', 'train.gz');
    }
  });

  test('too long', () => {
    expectError(() => parseIdx(Buffer.concat([plain, plain])), 'ERR_FORMAT', 'expected 40 bytes', 'file has 80');
    expectError(() => parseIdx(gzipSync(Buffer.concat([plain, plain]))), 'ERR_FORMAT', 'expected 40 bytes', 'more');
  });

  test('not IDX at all', () => {
    expectError(() => parseIdx(Buffer.from('hello, world, how are you')), 'ERR_FORMAT', 'magic', '0x68656c6c');
    expectError(() => parseIdx(gzipSync(Buffer.from('hello, world'))), 'ERR_FORMAT', 'magic');
  });

  test('a header that claims terabytes allocates nothing', () => {
    const huge = idxBytes([0xffffffff, 0xffff, 28], [1, 2, 3]);
    const before = process.memoryUsage.rss();
    expectError(() => parseIdx(huge), 'ERR_FORMAT', '7881179086979116', 'file has 19');
    expectError(() => parseIdx(gzipSync(huge)), 'ERR_FORMAT', 'header claims', 'at most');
    expectError(() => parseIdx(idxBytes([0xffffffff, 0xffffffff, 0xffffffff], [])), 'ERR_FORMAT', 'no file can hold');
    expect(process.memoryUsage.rss() - before).toBeLessThan(64 * 2 ** 20);
  });
});
