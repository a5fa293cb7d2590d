import { FoveaError } from '../../errors.js';
import type { DType, TypedArray } from '../../tensor.js';
import type { Attributes } from '../backend.js';

/** One operand while its operator runs: row-major elements in the order of the shape. */
export interface View {
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly data: TypedArray;
}

/** What a reference operator computes: fills `outputs` from `inputs`. Absent optional operands are null. */
export type Operation = (
  inputs: readonly (View | null)[],
  outputs: readonly (View | null)[],
  attributes: Attributes,
  /** Which run of the program this is: feeds the random operators. */
  context: { readonly counter: number },
) => void;

/** The operand at `i`, which must be there. */
export function need(views: readonly (View | null)[], i: number): View {
  const view = views[i];
  if (!view) throw new FoveaError('ERR_SHAPE', 'reference', `operand ${i} of ${views.length} is required`);
  return view;
}

/** Four axes of double precision numbers, read and written by their indices. */
export class Grid {
  readonly shape: readonly [number, number, number, number];
  private readonly b: number;
  private readonly c: number;
  private readonly d: number;

  constructor(
    shape: readonly number[],
    readonly data: Float64Array,
  ) {
    const [a, b, c, d] = shape;
    if (shape.length !== 4 || a === undefined || b === undefined || c === undefined || d === undefined) {
      throw new FoveaError('ERR_SHAPE', 'reference', `four axes expected, got [${shape.join(', ')}]`);
    }
    this.shape = [a, b, c, d];
    this.b = b;
    this.c = c;
    this.d = d;
  }
  /** Where row (i, j, k) begins in `data`, for inner loops. */
  row(i: number, j: number, k: number): number {
    return ((i * this.b + j) * this.c + k) * this.d;
  }
  private offset(i: number, j: number, k: number, l: number): number {
    return this.row(i, j, k) + l;
  }
  get(i: number, j: number, k: number, l: number): number {
    return this.data[this.offset(i, j, k, l)] as number;
  }
  set(i: number, j: number, k: number, l: number, value: number): void {
    this.data[this.offset(i, j, k, l)] = value;
  }
  add(i: number, j: number, k: number, l: number, value: number): void {
    const offset = this.offset(i, j, k, l);
    this.data[offset] = (this.data[offset] as number) + value;
  }
}

/** An operand of rank 4 in double precision: a copy. */
export function grid(view: View): Grid {
  return new Grid(view.shape, new Float64Array(view.data));
}

/** Zeros in the shape of a result: it is computed in double precision, and `store` rounds it once. */
export function result(view: View): Grid {
  return new Grid(view.shape, accumulator(view));
}

/** A double precision sum for each element of a result. */
export function accumulator(view: View): Float64Array {
  return new Float64Array(view.data.length);
}

/** Rounds to what the view holds. */
export function store(view: View, sums: Float64Array): void {
  view.data.set(sums);
}

/** 'relu' keeps what is positive (and NaN), 'none' keeps everything. */
export function activate(value: number, activation: string): number {
  return activation === 'relu' && value <= 0 ? 0 : value;
}

/** Row-major strides of `shape` aligned to the last axes of `wide`, 0 along the axes it is repeated over. */
export function broadcastStrides(shape: readonly number[], wide: readonly number[]): number[] {
  const strides = new Array<number>(wide.length).fill(0);
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const n = shape[axis] as number;
    if (n !== 1) strides[wide.length - shape.length + axis] = stride;
    stride *= n;
  }
  return strides;
}

/** Where the element of row-major number `i` in `shape` lies under other strides. */
export function offsetOf(i: number, shape: readonly number[], strides: readonly number[]): number {
  let offset = 0;
  let rest = i;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const n = shape[axis] as number;
    offset += (rest % n) * (strides[axis] as number);
    rest = Math.floor(rest / n);
  }
  return offset;
}

function bad(attributes: Attributes, name: string, expected: string): FoveaError {
  return new FoveaError(
    'ERR_OPTION',
    'reference',
    `attribute ${name} must be ${expected}, got ${JSON.stringify(attributes[name])}`,
  );
}

export function number(attributes: Attributes, name: string): number {
  const value = attributes[name];
  if (typeof value !== 'number') throw bad(attributes, name, 'a number');
  return value;
}

export function flag(attributes: Attributes, name: string): boolean {
  const value = attributes[name];
  if (typeof value !== 'boolean') throw bad(attributes, name, 'true or false');
  return value;
}

export function text(attributes: Attributes, name: string): string {
  const value = attributes[name];
  if (typeof value !== 'string') throw bad(attributes, name, 'a string');
  return value;
}

export function pair(attributes: Attributes, name: string): [number, number] {
  const value = attributes[name];
  if (!Array.isArray(value) || value.length !== 2) throw bad(attributes, name, 'two numbers');
  return [value[0], value[1]];
}

/** [top, bottom, left, right] */
export function sides(attributes: Attributes, name: string): [number, number, number, number] {
  const value = attributes[name];
  if (!Array.isArray(value) || value.length !== 4) throw bad(attributes, name, 'four numbers');
  return [value[0], value[1], value[2], value[3]];
}
