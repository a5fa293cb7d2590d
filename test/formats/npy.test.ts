import AdmZip from 'adm-zip';
import { describe, expect, test } from 'vitest';
import { parseNpy, parseNpz } from '../../lib/formats/npy.js';
import { expectError } from './helpers.js';

/** An npy file as NumPy writes it: the data begins at a multiple of 64. */
function npyBytes(descr: string, shape: readonly number[], data: Uint8Array, fortran = false): Buffer {
  const sizes = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  const dictionary = `{'descr': '${descr}', 'fortran_order': ${fortran ? 'True' : 'False'}, 'shape': (${sizes}), }`;
  const header = `${dictionary.padEnd(64 * Math.ceil((dictionary.length + 11) / 64) - 11)}\n`;
  const length = Buffer.alloc(2);
  length.writeUInt16LE(header.length);
  return Buffer.concat([Buffer.from('\x93NUMPY\x01\x00', 'latin1'), length, Buffer.from(header), data]);
}

function raw(values: Float32Array | Int32Array | BigInt64Array | Float64Array | Int16Array): Uint8Array {
  return new Uint8Array(values.buffer);
}

describe('npy', () => {
  const cases = [
    ['<f4', raw(Float32Array.of(1, -2, 0.5, 4, 5, 6)), 'float32', [1, -2, 0.5, 4, 5, 6]],
    ['<f8', raw(Float64Array.of(1, 2, 3, 4, 5, 6)), 'float64', [1, 2, 3, 4, 5, 6]],
    ['|u1', Uint8Array.of(1, 2, 3, 4, 5, 255), 'uint8', [1, 2, 3, 4, 5, 255]],
    ['<i8', raw(BigInt64Array.of(1n, -2n, 3n, 4n, 5n, 6n)), 'float64', [1, -2, 3, 4, 5, 6]],
    ['>i2', Uint8Array.of(0, 1, 255, 254, 0, 3, 0, 4, 0, 5, 1, 0), 'int32', [1, -2, 3, 4, 5, 256]],
  ] as const;
  for (const [descr, data, dtype, values] of cases) {
    test(descr, () => {
      const tensor = parseNpy(npyBytes(descr, [2, 3], data));
      expect(tensor).toMatchObject({ shape: [2, 3], dtype });
      expect([...tensor.data]).toEqual(values);
    });
  }

  test('Fortran order', () => {
    const columns = npyBytes('|u1', [2, 3, 2], Uint8Array.of(0, 6, 2, 8, 4, 10, 1, 7, 3, 9, 5, 11), true);
    expect([...parseNpy(columns).data]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  });

  test('truncated, too long, objects', () => {
    const file = npyBytes('|u1', [2, 3], Uint8Array.of(1, 2, 3, 4, 5, 6));
    for (let length = 0; length < file.length; ++length) {
      expectError(() => parseNpy(file.subarray(0, length), 'x.npy'), 'ERR_FORMAT', 'x.npy');
    }
    expectError(() => parseNpy(Buffer.concat([file, file])), 'ERR_FORMAT', 'expected 134 bytes', 'file has 268');
    expectError(() => parseNpy(npyBytes('|O', [1], Uint8Array.of(1))), 'ERR_FORMAT', 'O');
    expectError(() => parseNpy(npyBytes('<f4', [2 ** 40, 2 ** 40], Uint8Array.of(1))), 'ERR_FORMAT', 'cannot be');
    expectError(
      () => parseNpy(npyBytes('<f4', [2 ** 40], Uint8Array.of(1))),
      'ERR_FORMAT',
      'expected 4398046511232 bytes',
    );
  });
});

describe('npz', () => {
  const archive = new AdmZip();
  archive.addFile('x.npy', npyBytes('|u1', [2, 3], Uint8Array.of(1, 2, 3, 4, 5, 6)));
  archive.addFile('y.npy', npyBytes('<i8', [2], raw(BigInt64Array.of(0n, 1n))));
  const file = archive.toBuffer();

  test('arrays by name', () => {
    const arrays = parseNpz(file);
    expect([...arrays.keys()]).toEqual(['x', 'y']);
    expect([...(arrays.get('y')?.data ?? [])]).toEqual([0, 1]);
  });

  test('every truncation is reported', () => {
    for (let length = 0; length < file.length; ++length) {
      expectError(() => parseNpz(file.subarray(0, length), 'a.npz'), 'ERR_FORMAT', 'a.npz');
    }
  });

  test('damaged contents are never returned', () => {
    const right = [...parseNpz(file).values()];
    for (let at = 0; at < file.length; ++at) {
      const broken = Buffer.from(file);
      broken[at] = (broken[at] ?? 0) ^ 0x55;
      let read: ReturnType<typeof parseNpz>;
      try {
        read = parseNpz(broken);
      } catch (error) {
        expect(error).toMatchObject({ code: 'ERR_FORMAT' });
        continue;
      }
      for (const array of read.values()) expect(right).toContainEqual(array); // a damaged name is all that may pass
    }
  });
});
