// CIFAR-10 binary: records of one label byte and 3 · 32 · 32 pixels (red, green, blue planes, row-major).
// https://www.cs.toronto.edu/~kriz/cifar.html (section "Binary version")
import { FoveaError } from '../errors.js';
import { allocate } from '../tensor.js';
import { readBytes } from './file.js';

export const cifarShape = [3, 32, 32] as const;
const pixels = 3 * 32 * 32;
const recordBytes = 1 + pixels;

export interface CifarRecords {
  /** [records, 3, 32, 32] */
  readonly images: Uint8Array;
  readonly labels: Int32Array;
}

/**
 * Reads CIFAR-10 batch files, one after the other.
 * @throws FoveaError ERR_IO, ERR_FORMAT when a file is not made of whole records, ERR_DATA for labels above 9
 */
export function readCifar10(paths: readonly string[]): CifarRecords {
  const files = paths.map((path) => ({ path, bytes: readBytes(path, 'CIFAR-10 batch', 'cifar10') }));
  for (const { path, bytes } of files) checkLength(path, bytes.length);
  const count = files.reduce((sum, { bytes }) => sum + bytes.length / recordBytes, 0);
  const images = allocate('uint8', count * pixels, 'cifar10') as Uint8Array;
  const labels = new Int32Array(count);
  let record = 0;
  for (const { path, bytes } of files) {
    for (let offset = 0; offset < bytes.length; offset += recordBytes, ++record) {
      const label = bytes[offset] ?? 0;
      if (label > 9) {
        throw new FoveaError(
          'ERR_DATA',
          'cifar10',
          `${path}: label ${label} of record ${offset / recordBytes} is not in 0..9`,
        );
      }
      labels[record] = label;
      images.set(bytes.subarray(offset + 1, offset + recordBytes), record * pixels);
    }
  }
  return { images, labels };
}

function checkLength(path: string, length: number): void {
  if (length > 0 && length % recordBytes === 0) return;
  const whole = Math.floor(length / recordBytes);
  throw new FoveaError(
    'ERR_FORMAT',
    'cifar10',
    `${path}: expected records of ${recordBytes} bytes, file has ${length} = ${whole} · ${recordBytes} + ${length % recordBytes}`,
  );
}
