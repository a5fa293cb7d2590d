// safetensors: u64 little-endian header length, JSON header, tensors one after the other without holes.
// https://github.com/huggingface/safetensors#format
import { FoveaError } from '../errors.js';
import { allocate, type DType, elementBytes, Tensor, type TypedArray } from '../tensor.js';

/** The limit of the original implementation; a header claiming more is an attack or not a header. */
const maxHeaderBytes = 100_000_000;

const dtypeNames: Readonly<Record<DType, string>> = { float32: 'F32', float64: 'F64', int32: 'I32', uint8: 'U8' };

/** How each stored element type is read: bytes per element, the dtype it becomes, and the conversion when the bits differ. */
interface StoredType {
  readonly bytes: number;
  readonly dtype: DType;
  readonly read?: (view: DataView, offset: number) => number;
}

const storedTypes: Readonly<Record<string, StoredType>> = {
  F64: { bytes: 8, dtype: 'float64' },
  F32: { bytes: 4, dtype: 'float32' },
  I32: { bytes: 4, dtype: 'int32' },
  U8: { bytes: 1, dtype: 'uint8' },
  BOOL: { bytes: 1, dtype: 'uint8' },
  F16: { bytes: 2, dtype: 'float32', read: (view, offset) => halfToNumber(view.getUint16(offset, true)) },
  BF16: { bytes: 2, dtype: 'float32', read: (view, offset) => bfloatToNumber(view.getUint16(offset, true)) },
  I64: { bytes: 8, dtype: 'int32', read: (view, offset) => Number(view.getBigInt64(offset, true)) },
  I16: { bytes: 2, dtype: 'int32', read: (view, offset) => view.getInt16(offset, true) },
  U16: { bytes: 2, dtype: 'int32', read: (view, offset) => view.getUint16(offset, true) },
  I8: { bytes: 1, dtype: 'int32', read: (view, offset) => view.getInt8(offset) },
};

export interface SafetensorsFile {
  readonly tensors: Record<string, Tensor>;
  readonly metadata: Record<string, string>;
}

/**
 * Serialises tensors. Wider elements come first, so that every tensor lies aligned in the file.
 * @param metadata  strings kept in the header under `__metadata__`
 */
export function writeSafetensors(
  tensors: Readonly<Record<string, Tensor>>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const entries = Object.entries(tensors).sort(([, a], [, b]) => elementBytes[b.dtype] - elementBytes[a.dtype]);
  const header = new Map<string, unknown>(Object.keys(metadata).length > 0 ? [['__metadata__', metadata]] : []);
  let end = 0;
  for (const [name, { shape, dtype, data }] of entries) {
    if (name === '__metadata__')
      throw new FoveaError('ERR_OPTION', 'writeSafetensors', 'a tensor cannot be named __metadata__');
    const begin = end;
    end += data.byteLength;
    header.set(name, { dtype: dtypeNames[dtype], shape, data_offsets: [begin, end] });
  }
  const json = Buffer.from(JSON.stringify(Object.fromEntries(header)), 'utf8');
  const headerBytes = Math.ceil(json.length / 8) * 8; // padded with spaces: the data begins aligned
  const file = allocate('uint8', 8 + headerBytes + end, 'writeSafetensors') as Uint8Array;
  new DataView(file.buffer).setBigUint64(0, BigInt(headerBytes), true);
  file.fill(0x20, 8 + json.length, 8 + headerBytes);
  file.set(json, 8);
  let offset = 8 + headerBytes;
  for (const [, { data }] of entries) {
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), offset);
    offset += data.byteLength;
  }
  return file;
}

/**
 * Reads tensors back, each with memory of its own. F16 and BF16 become float32, small integers and I64 int32, BOOL uint8.
 * @param source  what to call the bytes in error messages: the file's path
 * @throws FoveaError ERR_FORMAT when header, offsets and size do not agree; nothing is allocated before they do
 */
export function readSafetensors(bytes: Uint8Array, source = 'safetensors'): SafetensorsFile {
  const { header, dataStart } = readHeader(bytes, source);
  const metadata: Record<string, string> = {};
  const entries: Entry[] = [];
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') {
      if (!isRecord(value)) throw malformed(source, '__metadata__ is not an object');
      for (const [key, text] of Object.entries(value)) metadata[key] = String(text);
    } else entries.push(readEntry(name, value, source));
  }
  checkCoverage(entries, bytes.byteLength - dataStart, source);
  const tensors = entries.map((entry) => [entry.name, readTensor(bytes, dataStart, entry, source)] as const);
  return { tensors: Object.fromEntries(tensors), metadata };
}

interface Entry {
  readonly name: string;
  readonly type: StoredType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

function readHeader(bytes: Uint8Array, source: string): { header: Record<string, unknown>; dataStart: number } {
  if (bytes.byteLength < 8) throw malformed(source, `expected at least 8 bytes, file has ${bytes.byteLength}`);
  const claimed = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
  if (claimed > BigInt(Math.min(maxHeaderBytes, bytes.byteLength - 8))) {
    throw malformed(source, `header claims ${claimed} bytes, file has ${bytes.byteLength - 8} after its length field`);
  }
  const dataStart = 8 + Number(claimed);
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(8, dataStart)));
  } catch (cause) {
    throw malformed(
      source,
      `the header is not JSON (${cause instanceof Error ? cause.message : String(cause)})`,
      cause,
    );
  }
  if (!isRecord(header)) throw malformed(source, 'the header is not a JSON object');
  return { header, dataStart };
}

function readEntry(name: string, value: unknown, source: string): Entry {
  const where = `tensor ${JSON.stringify(name)}`;
  if (!isRecord(value)) throw malformed(source, `${where} is not described by an object`);
  const { dtype, shape, data_offsets: offsets } = value;
  const type = typeof dtype === 'string' && Object.hasOwn(storedTypes, dtype) ? storedTypes[dtype] : undefined;
  if (!type)
    throw malformed(
      source,
      `${where} has dtype ${JSON.stringify(dtype)}; known are ${Object.keys(storedTypes).join(' ')}`,
    );
  if (!isSizes(shape)) throw malformed(source, `${where} has shape ${JSON.stringify(shape)}`);
  if (!isSizes(offsets) || offsets.length !== 2)
    throw malformed(source, `${where} has data_offsets ${JSON.stringify(offsets)}`);
  const [begin, end] = offsets as [number, number];
  const expected = shape.reduce((product, size) => product * size, type.bytes);
  if (end - begin !== expected) {
    throw malformed(
      source,
      `${where} ${dtype} [${shape.join(', ')}] takes ${expected} bytes, data_offsets hold ${end - begin}`,
    );
  }
  return { name, type, shape, begin, end };
}

/** Tensors lie end to end from 0 to the end of the file: no holes, no overlaps, nothing missing, nothing left over. */
function checkCoverage(entries: readonly Entry[], available: number, source: string): void {
  let covered = 0;
  for (const { name, begin, end } of [...entries].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin !== covered)
      throw malformed(source, `tensor ${JSON.stringify(name)} begins at ${begin}, the one before ends at ${covered}`);
    covered = end;
  }
  if (covered !== available) throw malformed(source, `expected ${covered} bytes of tensors, file has ${available}`);
}

function readTensor(
  bytes: Uint8Array,
  dataStart: number,
  { name, type, shape, begin, end }: Entry,
  source: string,
): Tensor {
  const count = (end - begin) / type.bytes;
  const data = allocate(type.dtype, count, 'readSafetensors');
  if (type.read) convert(new DataView(bytes.buffer, bytes.byteOffset + dataStart + begin, end - begin), type, data);
  else new Uint8Array(data.buffer).set(bytes.subarray(dataStart + begin, dataStart + end));
  if (type.bytes === 8 && type.dtype === 'int32') checkInt32(bytes, dataStart + begin, data, name, source);
  return new Tensor(shape, data);
}

function convert(view: DataView, { read, bytes }: StoredType, data: TypedArray): void {
  if (read) for (let i = 0; i < data.length; ++i) data[i] = read(view, i * bytes);
}

function checkInt32(bytes: Uint8Array, offset: number, data: TypedArray, name: string, source: string): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset + offset, data.length * 8);
  for (let i = 0; i < data.length; ++i) {
    const value = view.getBigInt64(i * 8, true);
    if (value !== BigInt(data[i] ?? 0))
      throw malformed(source, `tensor ${JSON.stringify(name)} holds ${value}, which does not fit in int32`);
  }
}

/** IEEE 754 binary16: 1 sign, 5 exponent, 10 fraction bits. */
function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15));
}

const scratch = new DataView(new ArrayBuffer(4));

/** bfloat16 is the upper half of a float32. */
function bfloatToNumber(bits: number): number {
  scratch.setUint32(0, bits * 65536);
  return scratch.getFloat32(0);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

function malformed(source: string, detail: string, cause?: unknown): FoveaError {
  return new FoveaError('ERR_FORMAT', 'readSafetensors', `${source}: ${detail}`, { cause });
}
