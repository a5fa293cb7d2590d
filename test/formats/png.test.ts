import { deflateSync } from 'node:zlib';
import { encode } from 'fast-png';
import { describe, expect, test } from 'vitest';
import { decodePng, encodePng } from '../../lib/formats/png.js';
import { expectError } from './helpers.js';

const colour = { width: 3, height: 2, channels: 3, data: Uint8Array.from({ length: 18 }, (_, i) => i * 14) } as const;
const grey = { width: 2, height: 2, channels: 1, data: Uint8Array.of(0, 85, 170, 255) } as const;

describe('reading', () => {
  test('what was written comes back', () => {
    expect(decodePng(encodePng(colour))).toEqual(colour);
    expect(decodePng(encodePng(grey))).toEqual(grey);
  });

  test('alpha is dropped, 16 bits become 8', () => {
    const withAlpha = encode({ width: 1, height: 2, channels: 4, data: Uint8Array.of(1, 2, 3, 9, 4, 5, 6, 9) });
    expect(decodePng(withAlpha)).toEqual({ width: 1, height: 2, channels: 3, data: Uint8Array.of(1, 2, 3, 4, 5, 6) });
    const deep = encode({ width: 2, height: 1, channels: 1, depth: 16, data: Uint16Array.of(0x1234, 0xffff) });
    expect([...decodePng(deep).data]).toEqual([0x12, 0xff]);
  });
});

describe('damage', () => {
  const file = encodePng(colour);

  test('every truncation is reported', () => {
    for (let length = 0; length < file.length; ++length) {
      expectError(() => decodePng(file.subarray(0, length), 'a.png'), 'ERR_FORMAT', 'a.png', `${length} bytes`);
    }
  });

  test('a flipped byte gives an error or the same picture, never another one', () => {
    for (let at = 0; at < file.length; ++at) {
      const broken = Uint8Array.from(file);
      broken[at] = (broken[at] ?? 0) ^ 0x55;
      let picture: ReturnType<typeof decodePng>;
      try {
        picture = decodePng(broken);
      } catch (error) {
        expect(error).toMatchObject({ code: 'ERR_FORMAT' });
        continue;
      }
      expect(picture).toEqual(colour);
    }
  });

  test('a header that claims gigapixels allocates nothing', () => {
    const huge = Buffer.from(file);
    huge.writeUInt32BE(1_000_000, 16);
    huge.writeUInt32BE(1_000_000, 20);
    expectError(() => decodePng(huge), 'ERR_FORMAT', '1000000x1000000 pixels', `${file.length} compressed bytes`);
  });
});

/** A PNG of any depth and colour type, from rows of packed samples. */
function rawPng(
  width: number,
  depth: number,
  colourType: number,
  rows: readonly (readonly number[])[],
  palette?: readonly number[],
): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(rows.length, 4);
  header.set([depth, colourType, 0, 0, 0], 8);
  const pixels = deflateSync(Buffer.from(rows.flatMap((row) => [0, ...row]))); // 0: no filter
  const chunk = (type: string, data: Uint8Array) => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const ends = Buffer.alloc(8);
    ends.writeUInt32BE(data.length, 0);
    ends.writeUInt32BE(crc32(body), 4);
    return Buffer.concat([ends.subarray(0, 4), body, ends.subarray(4)]);
  };
  const chunks = [chunk('IHDR', header), ...(palette ? [chunk('PLTE', Buffer.from(palette))] : [])];
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([signature, ...chunks, chunk('IDAT', pixels), chunk('IEND', Buffer.alloc(0))]);
}

/** The checksum of PNG, bit by bit: zlib.crc32 is not in every Node 20. */
function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; ++bit) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}

describe('fewer than 8 bits', () => {
  test('grey of 1, 2 and 4 bits is spread over 0 … 255', () => {
    expect([...decodePng(rawPng(10, 1, 0, [[0b10110000, 0b01000000]])).data]).toEqual([
      255, 0, 255, 255, 0, 0, 0, 0, 0, 255,
    ]);
    expect([...decodePng(rawPng(3, 2, 0, [[0b00011000], [0b11000000]])).data]).toEqual([0, 85, 170, 255, 0, 0]);
    expect([...decodePng(rawPng(3, 4, 0, [[0x0f, 0x70]])).data]).toEqual([0, 255, 119]);
  });

  test('palettes are looked up', () => {
    const palette = [10, 20, 30, 40, 50, 60, 70, 80, 90];
    const [first, second, third] = [palette.slice(0, 3), palette.slice(3, 6), palette.slice(6)];
    const small = decodePng(rawPng(3, 2, 3, [[0b00011000]], palette));
    expect(small).toMatchObject({ channels: 3, width: 3, height: 1 });
    expect([...small.data]).toEqual([first, second, third].flat());
    expect([...decodePng(rawPng(2, 8, 3, [[2, 0]], palette)).data]).toEqual([third, first].flat());
  });
});
