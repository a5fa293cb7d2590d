/** High half of the 64-bit product of two 32-bit numbers, taken as unsigned, by products of halves that fit 32 bits. */
function high(a: number, b: number): number {
  const al = a & 0xffff;
  const ah = a >>> 16;
  const bl = b & 0xffff;
  const bh = b >>> 16;
  const middle = (Math.imul(ah, bl) + (Math.imul(al, bl) >>> 16)) | 0;
  return (Math.imul(ah, bh) + (middle >>> 16) + ((Math.imul(al, bh) + (middle & 0xffff)) >>> 16)) | 0;
}

/**
 * Philox4x32-10, a counter-based generator: four random words for each (counter, key), in any order.
 * Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
 * @param words  takes the four words: a model draws millions, so nothing is allocated
 */
function philoxInto(words: Uint32Array, counter: readonly number[], key: readonly number[]): void {
  let c0 = (counter[0] as number) | 0;
  let c1 = (counter[1] as number) | 0;
  let c2 = (counter[2] as number) | 0;
  let c3 = (counter[3] as number) | 0;
  let k0 = (key[0] as number) | 0;
  let k1 = (key[1] as number) | 0;
  for (let round = 0; round < 10; round++) {
    const odd = high(0xd2511f53, c0) ^ c3 ^ k1;
    const even = high(0xcd9e8d57, c2) ^ c1 ^ k0;
    c3 = Math.imul(0xd2511f53, c0);
    c1 = Math.imul(0xcd9e8d57, c2);
    c0 = even;
    c2 = odd;
    k0 = (k0 + 0x9e3779b9) | 0;
    k1 = (k1 + 0xbb67ae85) | 0;
  }
  words[0] = c0;
  words[1] = c1;
  words[2] = c2;
  words[3] = c3;
}

/** The four words of one (counter, key) of Philox4x32-10. */
export function philox(
  counter: readonly [number, number, number, number],
  key: readonly [number, number],
): [number, number, number, number] {
  const words = new Uint32Array(4);
  philoxInto(words, counter, key);
  return [...words] as [number, number, number, number];
}

/** Low and high 32 bits of a whole number up to 2^53. */
export function words(n: number): [low: number, high: number] {
  return [n >>> 0, Math.floor(n / 2 ** 32) >>> 0];
}

/** A stream of random numbers from Philox, keyed by a seed and an optional stream number. */
export class Random {
  private readonly key: [number, number];
  private readonly counterWords: [number, number, number, number];
  private readonly block = new Uint32Array(4);
  private position = 4;
  private counter = 0;
  private spare: number | undefined;

  constructor(seed: number, stream = 0) {
    this.key = words(seed);
    this.counterWords = [0, 0, ...words(stream)];
  }

  /** 32 random bits. */
  bits(): number {
    if (this.position === 4) {
      const counter = this.counter++;
      this.counterWords[0] = counter >>> 0;
      this.counterWords[1] = Math.floor(counter / 2 ** 32);
      philoxInto(this.block, this.counterWords, this.key);
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
