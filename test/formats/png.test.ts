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
