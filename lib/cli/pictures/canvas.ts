import type { Picture } from '../../formats/png.js';
import { glyph, textWidth } from './font.js';

/** Red, green, blue, each 0 … 255. */
export type Colour = readonly [red: number, green: number, blue: number];

export const white: Colour = [255, 255, 255];
export const ink: Colour = [38, 43, 51];
export const faint: Colour = [126, 134, 146];
export const grid: Colour = [222, 226, 232];

export interface TextStyle {
  /** Screen pixels per font pixel. Default 2. */
  readonly scale?: number;
  readonly colour?: Colour;
  /** What the given x is of the text. Default 'left'. */
  readonly align?: 'left' | 'centre' | 'right';
  /** Reads from bottom to top; then `x` is the left side of the letters and `align` goes along y. Default false. */
  readonly upwards?: boolean;
}

/** A picture to draw on, white at first. What lies outside is cut off. */
export class Canvas implements Picture {
  readonly channels = 3;
  readonly data: Uint8Array;

  constructor(
    readonly width: number,
    readonly height: number,
  ) {
    this.data = new Uint8Array(width * height * 3).fill(255);
  }

  rect(left: number, top: number, width: number, height: number, colour: Colour): void {
    for (let y = Math.max(0, top); y < Math.min(this.height, top + height); ++y) {
      for (let x = Math.max(0, left); x < Math.min(this.width, left + width); ++x)
        this.data.set(colour, (y * this.width + x) * 3);
    }
  }

  /** A frame just outside of the given rectangle. */
  frame(left: number, top: number, width: number, height: number, colour: Colour, thickness = 1): void {
    const t = thickness;
    this.rect(left - t, top - t, width + 2 * t, t, colour);
    this.rect(left - t, top + height, width + 2 * t, t, colour);
    this.rect(left - t, top, t, height, colour);
    this.rect(left + width, top, t, height, colour);
  }

  /** `y` is the top of the letters (7 font pixels high). */
  text(text: string, x: number, y: number, style: TextStyle = {}): void {
    const { scale = 2, colour = ink, align = 'left', upwards = false } = style;
    const length = textWidth(text) * scale;
    const back = { left: 0, centre: Math.round(length / 2), right: length }[align];
    let along = -back;
    for (const character of text) {
      for (const column of glyph(character)) {
        for (let row = 0; row < 8; ++row) {
          if (!((column >> row) & 1)) continue;
          if (upwards) this.rect(x + row * scale, y - along - scale, scale, scale, colour);
          else this.rect(x + along, y + row * scale, scale, scale, colour);
        }
        along += scale;
      }
      along += scale;
    }
  }

  /** Draws a small image with each of its pixels as a square. @param pixel  colour at (row, column) */
  image(
    left: number,
    top: number,
    rows: number,
    columns: number,
    scale: number,
    pixel: (row: number, column: number) => Colour,
  ): void {
    for (let row = 0; row < rows; ++row) {
      for (let column = 0; column < columns; ++column) {
        this.rect(left + column * scale, top + row * scale, scale, scale, pixel(row, column));
      }
    }
  }
}

/** A colour between colours that stand at equal distances from 0 to 1. */
export function blend(stops: readonly Colour[], at: number): Colour {
  const position = Math.min(1, Math.max(0, at)) * (stops.length - 1);
  const index = Math.min(stops.length - 2, Math.floor(position));
  const share = position - index;
  const [from = white, to = white] = [stops[index], stops[index + 1]];
  const mix = (channel: 0 | 1 | 2) => Math.round(from[channel] + (to[channel] - from[channel]) * share);
  return [mix(0), mix(1), mix(2)];
}

/** True when white letters are easier to read on this colour than dark ones (luma of ITU-R BT.601). */
export function isDark([red, green, blue]: Colour): boolean {
  return 0.299 * red + 0.587 * green + 0.114 * blue < 140;
}

/** The largest number of characters of a text that fits a width, with the rest cut off by a dot. */
export function fitText(text: string, width: number, scale = 2): string {
  if (textWidth(text) * scale <= width) return text;
  let short = text;
  while (short.length > 1 && textWidth(`${short}.`) * scale > width) short = short.slice(0, -1);
  return `${short}.`;
}
