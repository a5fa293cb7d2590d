import type { Attributes } from '../backend.js';
import { pair, sides, text } from './view.js';

/**
 * Which input row (or column) each tap of a window reads: `at(o, k)` for output o and kernel position k,
 * o·stride + k·dilation − before, then sent back into the input by the padding mode; −1 means a zero of the padding.
 */
export interface Taps {
  at(o: number, k: number): number;
}

/** What kernel position k reads for each of `outputs` positions of the window. */
export function readBy(axis: Taps, k: number, outputs: number): Int32Array {
  return Int32Array.from({ length: outputs }, (_, o) => axis.at(o, k));
}

/**
 * Source of the padding modes: torch.nn.Conv2d. For [a b c d] and two elements each side:
 * reflect [c b | a b c d | c b], replicate [a a | a b c d | d d], circular [c d | a b c d | a b].
 */
function taps(stride: number, dilation: number, before: number, size: number, mode: string): Taps {
  return {
    at(o, k) {
      const i = o * stride + k * dilation - before;
      if (i >= 0 && i < size) return i;
      if (mode === 'reflect') return i < 0 ? -i : 2 * (size - 1) - i;
      if (mode === 'replicate') return i < 0 ? 0 : size - 1;
      if (mode === 'circular') return ((i % size) + size) % size;
      return -1;
    },
  };
}

/** The taps of both spatial axes, from stride, padding [top, bottom, left, right] and dilation. */
export function windowTaps(
  attributes: Attributes,
  height: number,
  width: number,
  mode = 'zeros',
): [rows: Taps, columns: Taps] {
  const [sh, sw] = pair(attributes, 'stride');
  const [dh, dw] = pair(attributes, 'dilation');
  const [top, , left] = sides(attributes, 'padding');
  return [taps(sh, dh, top, height, mode), taps(sw, dw, left, width, mode)];
}

/** The taps of a convolution: as `windowTaps`, with its padding mode. */
export function convTaps(attributes: Attributes, height: number, width: number): [rows: Taps, columns: Taps] {
  return windowTaps(attributes, height, width, text(attributes, 'paddingMode'));
}
