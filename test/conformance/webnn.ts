import { readFileSync } from 'node:fs';
import { Tensor } from '../../lib/tensor.js';

/** One operand as the files store it: little-endian elements in base64. */
interface StoredTensor {
  readonly dtype: string;
  readonly shape: number[];
  readonly data: string;
}

/** One case of the W3C WebNN conformance suite. */
export interface WebnnCase {
  readonly id: string;
  readonly op: string;
  readonly name: string;
  readonly inputs: Readonly<Record<string, StoredTensor>>;
  readonly options: Readonly<Record<string, unknown>>;
  readonly args: Readonly<Record<string, unknown>>;
  readonly outputs: Readonly<Record<string, StoredTensor>>;
  readonly tolerance: { readonly metric: 'ULP' | 'ATOL'; readonly value: number } | null;
}

export function readCases(file: string): WebnnCase[] {
  return (JSON.parse(readFileSync(file, 'utf8')) as { cases: WebnnCase[] }).cases;
}

/** The number that 16 bits hold (IEEE 754 binary16). */
function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** float32 as it is, float16 widened to float32, which holds it exactly; undefined for integers. */
export function decode({ dtype, shape, data }: StoredTensor): Tensor | undefined {
  const bytes = Uint8Array.from(Buffer.from(data, 'base64'));
  if (dtype === 'float32') return new Tensor(shape, new Float32Array(bytes.buffer));
  if (dtype === 'float16') return new Tensor(shape, Float32Array.from(new Uint16Array(bytes.buffer), fromHalf));
  return undefined;
}

/** The distance of `value` to the next number of its format. */
function ulp(value: number, half: boolean): number {
  const exponent = Math.floor(Math.log2(Math.max(Math.abs(value), 2 ** -200)));
  return half ? 2 ** Math.max(exponent - 10, -24) : 2 ** Math.max(exponent - 23, -149);
}

/**
 * The suite's own rule, or 2e-6 of the largest element where terms cancel. Half precision results were rounded once more
 * than ours: one more of its ulps, and its 2⁻¹¹ of the largest element; what overflowed there need not here.
 */
export function allowedError(
  expected: number,
  largest: number,
  stored: StoredTensor,
  tolerance: WebnnCase['tolerance'],
): number {
  const half = stored.dtype === 'float16';
  if (half && Math.abs(expected) === Number.POSITIVE_INFINITY) return Number.POSITIVE_INFINITY;
  const value = (tolerance?.value ?? 0) + (half ? 1 : 0);
  const own = tolerance?.metric === 'ATOL' ? value : value * ulp(expected, half);
  return Math.max(own, (half ? 2 ** -11 : 2e-6) * largest);
}

/** The axes of x in another order: result axis i is axis order[i] of x. */
export function permute(x: Tensor, order: readonly number[]): Tensor {
  const shape = order.map((axis) => x.shape[axis] as number);
  const strides = x.shape.map((_, axis) => x.shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  const data = new Float32Array(x.size);
  for (let i = 0; i < data.length; i++) {
    let rest = i;
    let offset = 0;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const n = shape[axis] as number;
      offset += (rest % n) * (strides[order[axis] as number] as number);
      rest = Math.floor(rest / n);
    }
    data[i] = x.data[offset] as number;
  }
  return new Tensor(shape, data);
}
