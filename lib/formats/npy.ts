// npy and npz, NumPy's array files.
// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
import AdmZip from 'adm-zip';
import { FoveaError } from '../errors.js';
import { allocate, type DType, formatShape, sizeOf, Tensor } from '../tensor.js';
import { readBytes } from './file.js';
import { maxDeflateRatio } from './gzip.js';

interface StoredType {
  readonly bytes: number;
  readonly dtype: DType;
  readonly read: (view: DataView, offset: number, littleEndian: boolean) => number;
}

/** Kind and size of a dtype string such as `<f4`. */
const storedTypes: Readonly<Record<string, StoredType>> = {
  b1: { bytes: 1, dtype: 'uint8', read: (view, offset) => view.getUint8(offset) },
  u1: { bytes: 1, dtype: 'uint8', read: (view, offset) => view.getUint8(offset) },
  i1: { bytes: 1, dtype: 'int32', read: (view, offset) => view.getInt8(offset) },
  u2: { bytes: 2, dtype: 'int32', read: (view, offset, little) => view.getUint16(offset, little) },
  i2: { bytes: 2, dtype: 'int32', read: (view, offset, little) => view.getInt16(offset, little) },
  u4: { bytes: 4, dtype: 'float64', read: (view, offset, little) => view.getUint32(offset, little) },
  i4: { bytes: 4, dtype: 'int32', read: (view, offset, little) => view.getInt32(offset, little) },
  u8: { bytes: 8, dtype: 'float64', read: (view, offset, little) => Number(view.getBigUint64(offset, little)) },
  i8: { bytes: 8, dtype: 'float64', read: (view, offset, little) => Number(view.getBigInt64(offset, little)) },
  f4: { bytes: 4, dtype: 'float32', read: (view, offset, little) => view.getFloat32(offset, little) },
  f8: { bytes: 8, dtype: 'float64', read: (view, offset, little) => view.getFloat64(offset, little) },
};

/**
 * Reads the arrays of an npz file by name (without `.npy`). Integers of 64 bits and uint32 become float64.
 * @throws FoveaError ERR_IO, ERR_FORMAT (damaged archive: every entry's CRC-32 is checked)
 */
export function readNpzFile(path: string): Map<string, Tensor> {
  return parseNpz(readBytes(path, 'npz file', 'npz'), path);
}

/** As `readNpzFile`, for bytes in memory. */
export function parseNpz(bytes: Uint8Array, source = 'npz'): Map<string, Tensor> {
  const arrays = new Map<string, Tensor>();
  let entries: AdmZip.IZipEntry[];
  try {
    entries = new AdmZip(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)).getEntries();
  } catch (cause) {
    throw malformed(
      source,
      `not a zip archive, or cut off: file has ${bytes.length} bytes (${messageOf(cause)})`,
      cause,
    );
  }
  for (const entry of entries) {
    const name = entry.entryName;
    if (!name.endsWith('.npy')) continue;
    arrays.set(name.slice(0, -4), parseNpy(unpack(entry, bytes.length, source), `${source}: ${name}`));
  }
  return arrays;
}

function unpack(entry: AdmZip.IZipEntry, available: number, source: string): Uint8Array {
  const { size, compressedSize } = entry.header;
  if (compressedSize > available || size > compressedSize * maxDeflateRatio + 64) {
    const detail = `claims ${size} bytes in ${compressedSize} compressed bytes, file has ${available}`;
    throw malformed(source, `${entry.entryName} ${detail}`);
  }
  let content: Uint8Array;
  try {
    content = entry.getData();
  } catch (cause) {
    throw malformed(source, `${entry.entryName} is damaged (${messageOf(cause)})`, cause);
  }
  if (content.length !== size)
    throw malformed(source, `${entry.entryName}: expected ${size} bytes unpacked, got ${content.length}`);
  return content;
}

/**
 * Reads an npy file, in C or Fortran order, of either endianness.
 * @throws FoveaError ERR_FORMAT when header and length do not agree, or for element types that are not numbers
 */
export function parseNpy(bytes: Uint8Array, source = 'npy'): Tensor {
  const { descr, fortran, shape, start } = readHeader(bytes, source);
  const type = storedTypes[descr.slice(1)];
  if (!type || !'<>|='.includes(descr.charAt(0))) {
    throw malformed(source, `element type ${descr} is not one of ${Object.keys(storedTypes).join(' ')}`);
  }
  const count = sizeOf(shape);
  const expected = start + count * type.bytes;
  if (bytes.length !== expected) {
    throw malformed(
      source,
      `expected ${expected} bytes (${start} of header, then ${formatShape(shape)} of ${descr}), file has ${bytes.length}`,
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset + start, count * type.bytes);
  const data = allocate(type.dtype, count, 'npy');
  if (data instanceof Uint8Array) data.set(bytes.subarray(start));
  else for (let i = 0; i < count; ++i) data[i] = type.read(view, i * type.bytes, descr[0] !== '>');
  return fortran && shape.length > 1 ? fromFortran(new Tensor(shape, data)) : new Tensor(shape, data);
}

interface Header {
  readonly descr: string;
  readonly fortran: boolean;
  readonly shape: readonly number[];
  readonly start: number;
}

function readHeader(bytes: Uint8Array, source: string): Header {
  const magic = Buffer.from(bytes.subarray(0, 6)).toString('latin1');
  if (bytes.length < 12 || magic !== '\x93NUMPY')
    throw malformed(source, `not an npy file of at least 12 bytes (${bytes.length} bytes)`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const wide = (bytes[6] ?? 1) >= 2;
  const length = wide ? view.getUint32(8, true) : view.getUint16(8, true);
  const start = (wide ? 12 : 10) + length;
  if (start > bytes.length) throw malformed(source, `header of ${length} bytes claimed, file has ${bytes.length}`);
  const text = Buffer.from(bytes.subarray(start - length, start)).toString('latin1');
  const descr = /'descr':\s*'([^']+)'/.exec(text)?.[1];
  const fortran = /'fortran_order':\s*(True|False)/.exec(text)?.[1];
  const sizes = /'shape':\s*\(([\d\s,]*)\)/.exec(text)?.[1];
  if (descr === undefined || fortran === undefined || sizes === undefined)
    throw malformed(source, `cannot read the header ${text.trim()}`);
  const shape = sizes
    .split(',')
    .filter((size) => size.trim() !== '')
    .map(Number);
  if (!Number.isSafeInteger(sizeOf(shape) * 8)) throw malformed(source, `shape ${formatShape(shape)} cannot be`);
  return { descr, fortran: fortran === 'True', shape, start };
}

/** Column-major to row-major. */
function fromFortran(columns: Tensor): Tensor {
  const { shape, data } = columns;
  const rows = data.slice();
  const index = shape.map(() => 0);
  for (let i = 0; i < data.length; ++i) {
    let offset = 0;
    for (let axis = 0; axis < shape.length; ++axis) offset = offset * (shape[axis] ?? 1) + (index[axis] ?? 0);
    rows[offset] = data[i] ?? 0;
    for (let axis = 0; axis < shape.length; ++axis) {
      // the first axis runs fastest
      const next = (index[axis] ?? 0) + 1;
      index[axis] = next === shape[axis] ? 0 : next;
      if (next !== shape[axis]) break;
    }
  }
  return new Tensor(shape, rows);
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

function malformed(source: string, detail: string, cause?: unknown): FoveaError {
  return new FoveaError('ERR_FORMAT', 'npz', `${source}: ${detail}`, { cause });
}
