const weyl = [0x9e3779b9, 0xbb67ae85] as const;
const multiplier = [0xd2511f53, 0xcd9e8d57] as const;

/** High and low half of the 64-bit product of two unsigned 32-bit numbers. */
function multiply(a: number, b: number): [high: number, low: number] {
  const al = a & 0xffff;
  const ah = a >>> 16;
  const bl = b & 0xffff;
  const bh = b >>> 16;
  const low = al * bl;
  const middle = ah * bl + (low >>> 16);
  const middle2 = al * bh + (middle % 0x10000);
  const high = ah * bh + Math.floor(middle / 0x10000) + Math.floor(middle2 / 0x10000);
  return [high >>> 0, Math.imul(a, b) >>> 0];
}

/**
 * Philox4x32-10, a counter-based generator: four random words for each (counter, key), in any order.
 * Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
 */
export function philox(
  counter: readonly [number, number, number, number],
  key: readonly [number, number],
): [number, number, number, number] {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const [h0, l0] = multiply(multiplier[0], c0);
    const [h1, l1] = multiply(multiplier[1], c2);
    c0 = (h1 ^ c1 ^ k0) >>> 0;
    c1 = l1;
    c2 = (h0 ^ c3 ^ k1) >>> 0;
    c3 = l0;
    k0 = (k0 + weyl[0]) >>> 0;
    k1 = (k1 + weyl[1]) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** Low and high 32 bits of a whole number up to 2^53. */
export function words(n: number): [low: number, high: number] {
  return [n >>> 0, Math.floor(n / 2 ** 32) >>> 0];
}

/** A stream of random numbers from Philox, keyed by a seed and an optional stream number. */
export class Random {
  private readonly key: [number, number];
  private block: number[] = [];
  private position = 4;
  private counter = 0;
  private spare: number | undefined;

  constructor(
    seed: number,
    private readonly stream = 0,
  ) {
    this.key = words(seed);
  }

  /** 32 random bits. */
  bits(): number {
    if (this.position === 4) {
      const [low, high] = words(this.counter++);
      this.block = philox([low, high, ...words(this.stream)], this.key);
      this.position = 0;
    }
    return this.block[this.position++] as number;
  }

  /** Uniform in [0, 1), a multiple of 2^-32. */
  uniform(): number {
    return this.bits() * 2 ** -32;
  }

  /** Uniform whole number in [0, n). */
  integer(n: number): number {
    return Math.floor(this.uniform() * n);
  }

  /** Standard normal (Box and Muller 1958). */
  normal(): number {
    if (this.spare !== undefined) {
      const value = this.spare;
      this.spare = undefined;
      return value;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    const angle = 2 * Math.PI * this.uniform();
    this.spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }

  /** A random order of 0 … n − 1 (Fisher and Yates). */
  permutation(n: number): Int32Array {
    const order = Int32Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      const swap = order[i] as number;
      order[i] = order[j] as number;
      order[j] = swap;
    }
    return order;
  }
}
