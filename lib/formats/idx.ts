// IDX, the format of MNIST: u16 0, u8 element type, u8 rank, one u32 per axis, then the elements; all big-endian.
// http://yann.lecun.com/exdb/mnist (section "FILE FORMATS FOR THE MNIST DATABASE")
import { FoveaError } from '../errors.js';
import { allocate, type DType, formatShape, Tensor } from '../tensor.js';
import { readBytes } from './file.js';
import { gunzipExactly, gunzipStart, isGzip } from './gzip.js';

interface ElementType {
  readonly bytes: number;
  readonly dtype: DType;
  readonly read: (view: DataView, offset: number) => number;
}

const elementTypes: Readonly<Record<number, ElementType>> = {
  8: { bytes: 1, dtype: 'uint8', read: (view, offset) => view.getUint8(offset) },
  9: { bytes: 1, dtype: 'int32', read: (view, offset) => view.getInt8(offset) },
  11: { bytes: 2, dtype: 'int32', read: (view, offset) => view.getInt16(offset) },
  12: { bytes: 4, dtype: 'int32', read: (view, offset) => view.getInt32(offset) },
  13: { bytes: 4, dtype: 'float32', read: (view, offset) => view.getFloat32(offset) },
  14: { bytes: 8, dtype: 'float64', read: (view, offset) => view.getFloat64(offset) },
};

/**
 * Reads an IDX file, plain or gzipped.
 * @throws FoveaError ERR_IO when it cannot be read, ERR_FORMAT when magic, sizes and length do not agree
 */
export function readIdxFile(path: string, wanted = 'IDX file'): Tensor {
  return parseIdx(readBytes(path, wanted, 'idx'), path);
}

/**
 * @param bytes   the whole file, plain or gzipped
 * @param source  what to call it in error messages
 * @throws FoveaError ERR_FORMAT; nothing is allocated before the header and the length agree
 */
export function parseIdx(bytes: Uint8Array, source = 'IDX'): Tensor {
  const compressed = isGzip(bytes);
  const header = readHeader(compressed ? gunzipStart(bytes, source, 'idx') : bytes, source);
  const { shape, type, start } = header;
  const expected = start + shape.reduce((product, n) => product * n, type.bytes);
  const claim = `${formatShape(shape)} with ${type.bytes} byte${type.bytes > 1 ? 's' : ''} each`;
  if (!Number.isSafeInteger(expected)) throw malformed(source, `the header claims ${claim}, which no file can hold`);
  const plain = compressed ? gunzipExactly(bytes, expected, source, 'idx') : bytes;
  if (plain.length !== expected) {
    throw malformed(source, `expected ${expected} bytes (${start} of header, then ${claim}), file has ${plain.length}`);
  }
  return new Tensor(shape, elements(plain, header));
}

interface Header {
  readonly type: ElementType;
  readonly shape: readonly number[];
  readonly start: number;
}

function readHeader(bytes: Uint8Array, source: string): Header {
  if (bytes.length < 4) throw malformed(source, `expected at least 4 bytes, file has ${bytes.length}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const magic = view.getUint32(0);
  const type = elementTypes[(magic >> 8) & 255];
  const rank = magic & 255;
  if (magic >>> 16 !== 0 || !type || rank === 0) {
    const hex = `0x${magic.toString(16).padStart(8, '0')}`;
    throw malformed(
      source,
      `not an IDX file: expected magic 0x00000803 (images) or 0x00000801 (labels), file begins with ${hex}`,
    );
  }
  const start = 4 + 4 * rank;
  if (bytes.length < start)
    throw malformed(source, `expected ${start} bytes of header for ${rank} axes, file has ${bytes.length}`);
  return { type, shape: Array.from({ length: rank }, (_, axis) => view.getUint32(4 + 4 * axis)), start };
}

function elements(bytes: Uint8Array, { type, shape, start }: Header): Tensor['data'] {
  const count = shape.reduce((product, n) => product * n, 1);
  const data = allocate(type.dtype, count, 'idx');
  if (data instanceof Uint8Array) data.set(bytes.subarray(start));
  else {
    const view = new DataView(bytes.buffer, bytes.byteOffset + start, count * type.bytes);
    for (let i = 0; i < count; ++i) data[i] = type.read(view, i * type.bytes);
  }
  return data;
}

function malformed(source: string, detail: string): FoveaError {
  return new FoveaError('ERR_FORMAT', 'idx', `${source}: ${detail}`);
}
