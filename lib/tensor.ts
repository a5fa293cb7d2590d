import { FoveaError, show } from './errors.js';
import { Random } from './random.js';

export type DType = 'float32' | 'float64' | 'int32' | 'uint8';
export type TypedArray = Float32Array | Float64Array | Int32Array | Uint8Array;
/** Numbers in arrays in arrays …, as deep as the tensor has axes. */
export type NestedNumbers = number | readonly NestedNumbers[];

/** Bytes of one element. */
export const elementBytes: Readonly<Record<DType, number>> = { float32: 4, float64: 8, int32: 4, uint8: 1 };

const constructors = { float32: Float32Array, float64: Float64Array, int32: Int32Array, uint8: Uint8Array } as const;

const dtypes = Object.keys(constructors) as readonly DType[];

/** A new zeroed typed array. @throws FoveaError ERR_MEMORY when it cannot be had, ERR_DTYPE */
export function allocate(dtype: DType, length: number, operator = 'allocate'): TypedArray {
  if (!Object.hasOwn(constructors, dtype)) {
    throw new FoveaError('ERR_DTYPE', operator, `dtype must be one of ${dtypes.join(', ')}, got ${show(dtype)}`);
  }
  try {
    return new constructors[dtype](length);
  } catch (cause) {
    const gib = (length * elementBytes[dtype]) / 2 ** 30;
    throw new FoveaError(
      'ERR_MEMORY',
      operator,
      `${length} ${dtype} elements (${gib.toPrecision(3)} GiB) cannot be allocated`,
      { cause },
    );
  }
}

// What an array is, not what it claims to be: also of another realm, and undefined for a proxy of one.
const typedArray: object = Object.getPrototypeOf(Uint8Array.prototype);
const nameOf = Object.getOwnPropertyDescriptor(typedArray, Symbol.toStringTag)?.get as () => string | undefined;

/** The dtype that a typed array holds. @throws FoveaError ERR_DTYPE */
export function dtypeOf(array: unknown, operator = 'tensor'): DType {
  const name = nameOf.call(array);
  const dtype = dtypes.find((candidate) => constructors[candidate].name === name);
  if (dtype) return dtype;
  const detail = `expected Float32Array, Float64Array, Int32Array or Uint8Array, got ${name ?? show(array)}`;
  throw new FoveaError('ERR_DTYPE', operator, detail);
}

/** Number of elements of a shape. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
}

/** `[2, 3]` as messages print it. */
export function formatShape(shape: readonly number[]): string {
  return `[${shape.join(', ')}]`;
}

function checkShape(shape: readonly number[], operator: string): void {
  const bad = !Array.isArray(shape) || shape.some((n) => !Number.isSafeInteger(n) || n < 0);
  if (bad || !Number.isSafeInteger(sizeOf(shape))) {
    throw new FoveaError(
      'ERR_SHAPE',
      operator,
      `a shape is a list of whole numbers >= 0 whose product is below 2^53, got ${show(shape)}`,
    );
  }
}

/**
 * A shape and the typed array that holds its elements, row-major. The array is not copied: whoever writes to
 * `data` changes the tensor.
 */
export class Tensor<A extends TypedArray = TypedArray> {
  readonly shape: readonly number[];
  readonly dtype: DType;

  /**
   * @param shape  whole numbers >= 0; `[]` is a scalar
   * @param data   exactly as many elements as the shape says
   * @throws FoveaError ERR_SHAPE, ERR_DTYPE, ERR_DATA (a detached buffer)
   */
  constructor(
    shape: readonly number[],
    readonly data: A,
  ) {
    checkShape(shape, 'tensor');
    this.dtype = dtypeOf(data);
    const size = sizeOf(shape);
    if (data.length !== size) {
      if (isDetached(data))
        throw new FoveaError('ERR_DATA', 'tensor', 'the array is detached: its buffer was transferred');
      const arithmetic = `${shape.join(' · ') || '1'} = ${size}`;
      throw new FoveaError(
        'ERR_SHAPE',
        'tensor',
        `shape ${formatShape(shape)} needs ${arithmetic} elements, the array has ${data.length}`,
      );
    }
    this.shape = Object.freeze([...shape]);
  }

  /** Number of elements. */
  get size(): number {
    return sizeOf(this.shape);
  }

  /** The elements as nested arrays; a number for a scalar. @throws FoveaError ERR_SHAPE, ERR_DATA as `clone` */
  toArray(): NestedNumbers {
    const { data } = new Tensor(this.shape, this.data);
    const build = (axis: number, offset: number, stride: number): NestedNumbers => {
      if (axis === this.shape.length) return data[offset] as number;
      const n = this.shape[axis] as number;
      const inner = n === 0 ? 0 : stride / n;
      return Array.from({ length: n }, (_, i) => build(axis + 1, offset + i * inner, inner));
    };
    return build(0, 0, this.size);
  }

  /** The only element of a one-element tensor. @throws FoveaError ERR_SHAPE */
  item(): number {
    if (this.size !== 1)
      throw new FoveaError('ERR_SHAPE', 'item', `one element expected, shape is ${formatShape(this.shape)}`);
    return this.data[0] as number;
  }

  /**
   * The same elements under another shape: a view. One axis may be -1, it takes what is left.
   * @throws FoveaError ERR_SHAPE when the sizes differ
   */
  reshape(shape: readonly number[]): Tensor<A> {
    return new Tensor(resolveShape(shape, this.shape, 'reshape'), this.data);
  }

  /** A copy that shares nothing. @throws FoveaError ERR_SHAPE, ERR_DATA when the array is not what it was */
  clone(): Tensor<A> {
    const { shape, data } = new Tensor(this.shape, this.data);
    return new Tensor(shape, new constructors[this.dtype](data) as A); // slice() of a Buffer would share its memory
  }

  static zeros(shape: readonly number[], dtype: DType = 'float32'): Tensor {
    return Tensor.full(shape, 0, dtype);
  }

  static ones(shape: readonly number[], dtype: DType = 'float32'): Tensor {
    return Tensor.full(shape, 1, dtype);
  }

  static full(shape: readonly number[], value: number, dtype: DType = 'float32'): Tensor {
    checkShape(shape, 'full');
    if (typeof value !== 'number') throw new FoveaError('ERR_OPTION', 'full', `a number expected, got ${show(value)}`);
    const data = allocate(dtype, sizeOf(shape), 'full');
    return new Tensor(shape, value === 0 ? data : data.fill(value));
  }

  /**
   * Normally distributed values, mean 0 and deviation 1; the same seed (default 0) gives the same values.
   * @throws FoveaError ERR_OPTION for a seed that is no whole number >= 0, ERR_SHAPE, ERR_DTYPE, ERR_MEMORY
   */
  static randn(shape: readonly number[], options: { seed?: number; dtype?: 'float32' | 'float64' } = {}): Tensor {
    checkShape(shape, 'randn');
    const { seed = 0, dtype = 'float32' } = options ?? {};
    if (dtype !== 'float32' && dtype !== 'float64') {
      throw new FoveaError('ERR_DTYPE', 'randn', `dtype must be float32 or float64, got ${show(dtype)}`);
    }
    const data = allocate(dtype, sizeOf(shape), 'randn');
    const random = new Random(checkSeed('randn', seed));
    for (let i = 0; i < data.length; i++) data[i] = random.normal();
    return new Tensor(shape, data);
  }
}

/**
 * Resolves the -1 of a wanted shape against the shape there is.
 * @throws FoveaError ERR_SHAPE with both sizes
 */
export function resolveShape(wanted: readonly number[], from: readonly number[], operator: string): number[] {
  if (!Array.isArray(wanted)) {
    throw new FoveaError('ERR_SHAPE', operator, `a shape is a list of whole numbers, got ${show(wanted)}`);
  }
  const size = sizeOf(from);
  const known = wanted.reduce((product, n) => (n === -1 ? product : product * n), 1);
  const holes = wanted.filter((n) => n === -1).length;
  const shape = wanted.map((n) => (n === -1 ? size / known : n));
  if (holes > 1 || sizeOf(shape) !== size || !shape.every((n) => Number.isSafeInteger(n) && n >= 0)) {
    throw new FoveaError(
      'ERR_SHAPE',
      operator,
      `${formatShape(from)} has ${size} elements, ${formatShape(wanted)} cannot hold them`,
    );
  }
  return shape;
}

/** True when the array's buffer was transferred away. */
export function isDetached(array: TypedArray): boolean {
  if (array.length > 0) return false;
  try {
    new Uint8Array(array.buffer);
    return false;
  } catch {
    return true;
  }
}

/** A seed, once it is one. @throws FoveaError ERR_OPTION */
export function checkSeed(operator: string, seed: unknown): number {
  if (Number.isSafeInteger(seed) && (seed as number) >= 0) return seed as number;
  throw new FoveaError('ERR_OPTION', operator, `seed must be a whole number between 0 and 2^53 − 1, got ${show(seed)}`);
}

/**
 * A tensor from nested arrays or a typed array. Nested arrays become float32 unless `dtype` says otherwise; a typed
 * array is taken as it is, or copied when `dtype` is another than its own.
 * @param shape  default: the nesting, or `[length]`
 * @throws FoveaError ERR_SHAPE (ragged nesting, sizes that differ), ERR_DTYPE
 */
export function tensor(values: NestedNumbers | TypedArray, shape?: readonly number[], dtype?: DType): Tensor {
  if (ArrayBuffer.isView(values)) {
    const own = dtypeOf(values);
    const array = values as TypedArray;
    return new Tensor(shape ?? [array.length], dtype === undefined || dtype === own ? array : filled(dtype, array));
  }
  const nesting = nestingOf(values as NestedNumbers);
  const flat: number[] = [];
  flatten(values as NestedNumbers, nesting.length, flat);
  if (flat.length !== sizeOf(nesting) || flat.some((v) => typeof v !== 'number')) {
    throw new FoveaError(
      'ERR_SHAPE',
      'tensor',
      `the nested arrays are ragged or hold something other than numbers; the first of each axis say ${formatShape(nesting)}`,
    );
  }
  return new Tensor(shape ?? nesting, filled(dtype ?? 'float32', flat));
}

function filled(dtype: DType, values: ArrayLike<number>): TypedArray {
  const data = allocate(dtype, values.length, 'tensor');
  data.set(values);
  return data;
}

/** Nested arrays that go deeper than `depth` come out as arrays, which are not numbers. */
function flatten(values: NestedNumbers, depth: number, into: number[]): void {
  if (depth > 0 && Array.isArray(values)) for (const value of values) flatten(value, depth - 1, into);
  else into.push(values as number);
}

// More axes than any operator takes, so that an array that holds itself comes to an end.
const deepest = 32;

function nestingOf(values: NestedNumbers): number[] {
  const shape: number[] = [];
  let level: NestedNumbers | undefined = values;
  while (Array.isArray(level) && shape.length < deepest) {
    shape.push(level.length);
    level = level[0];
  }
  return shape;
}
