import { describe, expect, test } from 'vitest';
import { readSafetensors, writeSafetensors } from '../../lib/formats/safetensors.js';
import { Tensor } from '../../lib/tensor.js';
import { expectError } from './helpers.js';

const tensors = {
  'conv1.weight': new Tensor([2, 1, 1, 2], Float32Array.of(1, -2.5, 3e-20, Number.NaN)),
  labels: new Tensor([3], Int32Array.of(-1, 0, 7)),
  bytes: new Tensor([3], Uint8Array.of(0, 1, 255)),
  exact: new Tensor([], Float64Array.of(Math.PI)),
  empty: new Tensor([0, 4], new Float32Array(0)),
};
const file = writeSafetensors(tensors, { epoch: '3', text: 'ünïcode' });

/** A file with this header and that many bytes of data. */
function craft(header: unknown, dataBytes: number | Uint8Array): Buffer {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, typeof dataBytes === 'number' ? Buffer.alloc(dataBytes) : dataBytes]);
}

describe('round trip', () => {
  test('shapes, types, values and metadata come back', () => {
    const read = readSafetensors(file);
    expect(read.metadata).toEqual({ epoch: '3', text: 'ünïcode' });
    expect(Object.keys(read.tensors).sort()).toEqual(Object.keys(tensors).sort());
    for (const [name, tensor] of Object.entries(tensors)) {
      expect(read.tensors[name]?.shape).toEqual(tensor.shape);
      expect(read.tensors[name]?.data).toEqual(tensor.data);
    }
  });

  test('the layout is that of the specification: aligned data, offsets from its start', () => {
    const headerBytes = Number(new DataView(file.buffer).getBigUint64(0, true));
    expect(headerBytes % 8).toBe(0);
    const header = JSON.parse(Buffer.from(file.subarray(8, 8 + headerBytes)).toString());
    expect(header.exact).toEqual({ dtype: 'F64', shape: [], data_offsets: [0, 8] });
    expect(header['conv1.weight'].data_offsets[0] % 4).toBe(0);
  });

  test('a tensor is read at any offset of its buffer', () => {
    const shifted = new Uint8Array(file.length + 3).subarray(3);
    shifted.set(file);
    expect(readSafetensors(shifted).tensors.exact?.data).toEqual(tensors.exact.data);
  });

  test('F16, BF16 and I64 are converted', () => {
    const data = Buffer.alloc(16);
    data.writeUInt16LE(0x3e00, 0); // 1.5
    data.writeUInt16LE(0x8001, 2); // −2^-24, the smallest subnormal
    data.writeUInt16LE(0x3fc0, 4); // bfloat16 1.5
    data.writeUInt16LE(0xff80, 6); // bfloat16 −∞
    data.writeBigInt64LE(-5n, 8);
    const header = {
      h: { dtype: 'F16', shape: [2], data_offsets: [0, 4] },
      b: { dtype: 'BF16', shape: [2], data_offsets: [4, 8] },
      n: { dtype: 'I64', shape: [1], data_offsets: [8, 16] },
    };
    const read = readSafetensors(craft(header, data)).tensors;
    expect([...(read.h?.data ?? [])]).toEqual([1.5, -(2 ** -24)]);
    expect([...(read.b?.data ?? [])]).toEqual([1.5, Number.NEGATIVE_INFINITY]);
    expect(read.n).toMatchObject({ dtype: 'int32', shape: [1] });
    expect(read.n?.data[0]).toBe(-5);
    data.writeBigInt64LE(2n ** 40n, 8);
    expectError(() => readSafetensors(craft(header, data)), 'ERR_FORMAT', '1099511627776', 'int32');
  });

  test('names that mean something to JavaScript are just names', () => {
    const odd = Object.fromEntries([['__proto__', tensors.labels]]);
    const read = readSafetensors(writeSafetensors(odd)).tensors;
    expect(Object.getOwnPropertyDescriptor(read, '__proto__')?.value.data).toEqual(tensors.labels.data);
  });
});

describe('damage', () => {
  test('every truncation is reported', () => {
    for (let length = 0; length < file.length; ++length) {
      expectError(() => readSafetensors(file.subarray(0, length), 'a.safetensors'), 'ERR_FORMAT', 'a.safetensors');
    }
  });

  const f32 = (shape: unknown, data_offsets: unknown, dtype: unknown = 'F32') => ({ dtype, shape, data_offsets });
  const cases: readonly (readonly [string, unknown, number, string])[] = [
    ['not JSON', '{"a": ', 0, 'not JSON'],
    ['not an object', '[1]', 0, 'not a JSON object'],
    ['unknown dtype', { a: f32([1], [0, 4], 'F8') }, 4, 'dtype "F8"'],
    ['dtype of the prototype', { a: f32([1], [0, 4], 'constructor') }, 4, 'dtype "constructor"'],
    ['negative size', { a: f32([-1], [0, 4]) }, 4, 'shape [-1]'],
    ['fractional size', { a: f32([1.5], [0, 6]) }, 6, 'shape [1.5]'],
    ['shape and offsets differ', { a: f32([2], [0, 4]) }, 4, 'takes 8 bytes, data_offsets hold 4'],
    ['reversed offsets', { a: f32([1], [4, 0]) }, 4, 'takes 4 bytes, data_offsets hold -4'],
    ['beyond the end', { a: f32([2], [0, 8]) }, 4, 'expected 8 bytes of tensors, file has 4'],
    ['left over', { a: f32([1], [0, 4]) }, 8, 'expected 4 bytes of tensors, file has 8'],
    ['hole', { a: f32([1], [0, 4]), b: f32([1], [8, 12]) }, 12, 'begins at 8'],
    ['overlap', { a: f32([2], [0, 8]), b: f32([1], [4, 8]) }, 8, 'begins at 4'],
    ['enormous', { a: f32([2 ** 50, 2 ** 50], [0, 4]) }, 4, 'takes'],
  ];
  for (const [name, header, bytes, message] of cases) {
    test(name, () => expectError(() => readSafetensors(craft(header, bytes)), 'ERR_FORMAT', message));
  }

  test('a header length of exabytes', () => {
    const broken = Uint8Array.from(file).fill(0xff, 0, 8);
    expectError(() => readSafetensors(broken), 'ERR_FORMAT', 'claims 18446744073709551615 bytes');
  });
});
