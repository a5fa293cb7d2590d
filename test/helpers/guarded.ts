import { type DType, elementBytes, sizeOf, Tensor, type TypedArray } from '../../lib/tensor.js';

const constructors = { float32: Float32Array, float64: Float64Array, int32: Int32Array, uint8: Uint8Array } as const;
const sentinel = 0xa5;
const guardBytes = 192;

/** A tensor in the middle of a larger buffer, whose other bytes must stay as they are. */
export interface Guarded {
  readonly tensor: Tensor;
  /** The first byte outside the tensor that was changed, counted from the tensor's first; undefined when all is well. */
  damage(): number | undefined;
}

/**
 * Memory for one operand, at an offset that is a multiple of its element size and of nothing more.
 * @param fill  what the tensor holds; default NaN (all bits set in integers)
 */
export function guarded(shape: readonly number[], dtype: DType, fill?: TypedArray): Guarded {
  const width = elementBytes[dtype];
  const length = sizeOf(shape);
  const start = guardBytes + width;
  const bytes = new Uint8Array(start + length * width + guardBytes).fill(sentinel);
  const data = new constructors[dtype](bytes.buffer, start, length);
  if (fill) data.set(fill);
  else if (dtype === 'float32' || dtype === 'float64') data.fill(Number.NaN);
  else data.fill(-1);
  const end = start + length * width;
  return {
    tensor: new Tensor(shape, data),
    damage() {
      const at = bytes.findIndex((byte, i) => (i < start || i >= end) && byte !== sentinel);
      return at < 0 ? undefined : at - start;
    },
  };
}
