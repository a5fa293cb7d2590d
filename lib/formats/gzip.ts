import { constants, gunzipSync } from 'node:zlib';
import { FoveaError } from '../errors.js';

/** Deflate turns one byte into at most 1032 (258 bytes per 2 bits), so a larger claim is a lie. https://zlib.net/zlib_tech.html */
export const maxDeflateRatio = 1032;

export function isGzip(bytes: Uint8Array): boolean {
  return bytes.length >= 2 && bytes[0] === 0x1f && bytes[1] === 0x8b;
}

/**
 * The first bytes of a gzip stream, as far as they can be had: enough to read a header and to know how much is to come.
 * @throws FoveaError ERR_FORMAT
 */
export function gunzipStart(bytes: Uint8Array, source: string, operator: string): Uint8Array {
  try {
    return gunzipSync(bytes.subarray(0, 512), { finishFlush: constants.Z_SYNC_FLUSH });
  } catch (cause) {
    throw corrupt(source, operator, cause);
  }
}

/**
 * Unpacks a gzip file whose unpacked size is known from its header.
 * @throws FoveaError ERR_FORMAT when the stream is cut off, damaged (its CRC-32 is checked) or not of that size
 */
export function gunzipExactly(bytes: Uint8Array, expected: number, source: string, operator: string): Uint8Array {
  if (expected > bytes.length * maxDeflateRatio) {
    throw new FoveaError(
      'ERR_FORMAT',
      operator,
      `${source}: header claims ${expected} bytes, ${bytes.length} compressed bytes hold at most ${bytes.length * maxDeflateRatio}`,
    );
  }
  let unpacked: Uint8Array;
  try {
    unpacked = gunzipSync(bytes, { maxOutputLength: expected + 1 });
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ERR_BUFFER_TOO_LARGE') {
      throw new FoveaError(
        'ERR_FORMAT',
        operator,
        `${source}: expected ${expected} bytes unpacked, the file holds more`,
        { cause },
      );
    }
    throw corrupt(source, operator, cause);
  }
  if (unpacked.length !== expected) {
    throw new FoveaError(
      'ERR_FORMAT',
      operator,
      `${source}: expected ${expected} bytes unpacked, the file holds ${unpacked.length}`,
    );
  }
  return unpacked;
}

function corrupt(source: string, operator: string, cause: unknown): FoveaError {
  const detail = cause instanceof Error ? cause.message : String(cause);
  return new FoveaError('ERR_FORMAT', operator, `${source}: damaged or truncated gzip stream (${detail})`, { cause });
}
