import { Random } from '../../lib/random.js';
import { allocate, type DType, sizeOf, Tensor } from '../../lib/tensor.js';

/** `integers`: −4 … 4, whose sums and products are exact in float32. `reals`: standard normal. `ones`: counts terms. */
export type Numbers = 'integers' | 'reals' | 'ones';

/** Seeded operands for one case; the same seed gives the same operands in every dtype. */
export class Make {
  private readonly random: Random;

  constructor(
    readonly seed: number,
    readonly numbers: Numbers,
    readonly dtype: 'float32' | 'float64' = 'float32',
  ) {
    this.random = new Random(seed);
  }

  /** A float operand. Reals are rounded to float32 in every dtype, so that both precisions compute on the same numbers. */
  float(shape: readonly number[]): Tensor {
    return this.fill(shape, this.dtype, () => {
      if (this.numbers === 'ones') return 1;
      return this.numbers === 'integers' ? this.random.integer(9) - 4 : Math.fround(this.random.normal());
    });
  }

  /** A float operand of which no element is 0 or below: variances, class weights. */
  positive(shape: readonly number[]): Tensor {
    return this.fill(shape, this.dtype, () => {
      if (this.numbers === 'ones') return 1;
      return this.numbers === 'integers' ? 1 + this.random.integer(4) : Math.fround(0.25 + this.random.uniform());
    });
  }

  /** Whole numbers low … high − 1. */
  whole(shape: readonly number[], low: number, high: number, dtype: DType = 'int32'): Tensor {
    return this.fill(shape, dtype, () => low + this.random.integer(high - low));
  }

  /** Hyperparameters: float64 whatever the dtype of the case. */
  hyper(numbers: readonly number[]): Tensor {
    return new Tensor([numbers.length], Float64Array.from(numbers));
  }

  private fill(shape: readonly number[], dtype: DType, next: () => number): Tensor {
    const data = allocate(dtype, sizeOf(shape));
    for (let i = 0; i < data.length; i++) data[i] = next();
    return new Tensor(shape, data);
  }
}

/** A seed from a name, so that cases can be added without changing the numbers of others (FNV-1a). */
export function seedOf(name: string): number {
  let hash = 0x811c9dc5;
  for (const char of name) hash = Math.imul(hash ^ (char.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  return hash;
}
