import { describe, expect, test } from 'vitest';
import { Tensor, tensor } from '../lib/index.js';
import { expectError } from './ops/helpers.js';

describe('making tensors', () => {
  test('from nested arrays, from typed arrays, and in another type', () => {
    expect(
      tensor([
        [1, 2],
        [3, 4],
      ]).shape,
    ).toEqual([2, 2]);
    expect(tensor(new Uint8Array([1, 2])).dtype).toBe('uint8');
    const array = new Float32Array([1, 2]);
    expect(tensor(array).data).toBe(array);
    expect(tensor(array, [2, 1], 'float64')).toEqual(new Tensor([2, 1], new Float64Array([1, 2])));
    expect(tensor(5).shape).toEqual([]);
  });

  test('a clone shares nothing, not even that of a Buffer, whose slice() would', () => {
    const original = new Tensor([2], Buffer.from([1, 2]));
    const copy = original.clone();
    copy.data[0] = 9;
    expect([...original.data]).toEqual([1, 2]);
  });

  test('float arrays of another realm are float arrays', async () => {
    const { runInNewContext } = await import('node:vm');
    expect(new Tensor([3], runInNewContext('new Float32Array(3)')).dtype).toBe('float32');
  });
});

describe('what cannot be a tensor', () => {
  const itself: unknown[] = [];
  itself.push(itself);
  test.each<[string, () => unknown, string, RegExp]>([
    ['a shape of big integers', () => new Tensor([1n] as never, new Float32Array(1)), 'ERR_SHAPE', /got \[1\]/],
    ['a shape with NaN', () => Tensor.zeros([Number.NaN]), 'ERR_SHAPE', /got \[NaN\]/],
    ['more elements than numbers count', () => Tensor.zeros([2 ** 30, 2 ** 30]), 'ERR_SHAPE', /below 2\^53/],
    ['more elements than memory', () => Tensor.zeros([2 ** 45]), 'ERR_MEMORY', /GiB/],
    ['a type that is none', () => Tensor.zeros([1], 'float16' as never), 'ERR_DTYPE', /float32, float64, .*'float16'/],
    ['a value that is no number', () => Tensor.full([1], '1' as never), 'ERR_OPTION', /'1'/],
    ['a seed that is no whole number', () => Tensor.randn([1], { seed: Number.NaN }), 'ERR_OPTION', /NaN/],
    ['a seed below 0', () => Tensor.randn([1], { seed: -1 }), 'ERR_OPTION', /-1/],
    ['a proxy of an array', () => new Tensor([1], new Proxy(new Float32Array(1), {})), 'ERR_DTYPE', /Float32Array/],
    ['a DataView', () => tensor(new DataView(new ArrayBuffer(4)) as never), 'ERR_DTYPE', /DataView/],
    ['nothing', () => tensor(undefined as never), 'ERR_SHAPE', /other than numbers/],
    ['an array that holds itself', () => tensor(itself as never), 'ERR_SHAPE', /ragged/],
    ['reshape to a number', () => Tensor.ones([6]).reshape(6 as never), 'ERR_SHAPE', /got 6/],
  ])('%s', (_, body, code, message) => {
    expectError(body, code as never, message);
  });

  test('a detached array', () => {
    const gone = Tensor.ones([4]);
    structuredClone(gone.data.buffer, { transfer: [gone.data.buffer as ArrayBuffer] });
    expectError(() => gone.clone(), 'ERR_DATA', /detached/);
    expectError(() => gone.toArray(), 'ERR_DATA', /detached/);
  });
});
