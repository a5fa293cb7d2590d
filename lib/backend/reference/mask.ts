import type { View } from './view.js';

/** Where the bit of element i of an image [N, C, …] stands in its mask [N, ceil(C / 16), …, 2]. */
function place(i: number, [, channels, ...axes]: readonly number[]): { byte: number; bit: number } {
  const C = channels as number;
  const L = axes.reduce((product, n) => product * n, 1);
  const n = Math.floor(i / (C * L));
  const c = Math.floor(i / L) % C;
  const pixel = (n * Math.ceil(C / 16) + Math.floor(c / 16)) * L + (i % L);
  return { byte: 2 * pixel + (Math.floor(c / 8) % 2), bit: 1 << (c % 8) };
}

/** Sets the bits of the elements of `image` that are greater than 0, and no others. */
export function writeMask(mask: View, image: View): void {
  mask.data.fill(0);
  image.data.forEach((value: number, i: number) => {
    const { byte, bit } = place(i, image.shape);
    if (value > 0) mask.data[byte] = (mask.data[byte] as number) | bit;
  });
}

/** Is the bit of element i of an image of this shape set? */
export function passes(mask: View, i: number, shape: readonly number[]): boolean {
  const { byte, bit } = place(i, shape);
  return ((mask.data[byte] as number) & bit) !== 0;
}
