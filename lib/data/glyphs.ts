import { FoveaError } from '../errors.js';
import { checkOptions } from '../geometry/options.js';
import { Random } from '../random.js';
import { allocate } from '../tensor.js';
import { InMemoryDataset, InMemorySplit, measureBytes } from './array-dataset.js';
import { glyphStrokes, type Point } from './glyph-strokes.js';

export interface GlyphsOptions {
  /** Pictures in the training set. Default 10,000. */
  readonly train?: number;
  /** Pictures in the test set. Default 2,000. */
  readonly test?: number;
  /** The same seed gives the same pictures, whatever their number. Default 1. */
  readonly seed?: number;
}

const side = 28;
const pixels = side * side;
const digits = Array.from({ length: 10 }, (_, digit) => String(digit));

/**
 * Hand-drawn looking digits made by the program: 28×28 grey, drawn from pen strokes with random affine and elastic
 * distortion, stroke width, contrast, clutter and noise. A linear classifier reaches about four fifths, a small CNN 98 %.
 * @param options  train = 10,000, test = 2,000 (numbers of pictures), seed = 1
 * @returns the training set; its `.test` is the test set, made of other random numbers
 * @throws FoveaError ERR_OPTION, ERR_MEMORY
 * @example const { train, test } = data.glyphs({ train: 10_000, test: 2_000, seed: 1 });
 */
export function glyphs(options: GlyphsOptions = {}): InMemorySplit {
  checkOptions('glyphs', options, ['train', 'test', 'seed']);
  const { train = 10_000, test = 2_000, seed = 1 } = options;
  for (const [name, value] of Object.entries({ train, test, seed })) {
    const least = name === 'seed' ? 0 : 1;
    if (Number.isSafeInteger(value) && value >= least && (name === 'seed' || value <= 10_000_000)) continue;
    throw new FoveaError('ERR_OPTION', 'glyphs', `${name} must be a whole number >= ${least}, got ${value}`);
  }
  const images = draw(train, seed, 0);
  const normalization = measureBytes(images, [1, side, side]);
  const make = (drawn: Uint8Array) =>
    new InMemoryDataset(drawn, labelsOf(drawn.length / pixels, seed), [1, side, side], {
      classes: digits,
      normalization,
    });
  // Pictures are numbered by random stream; training takes the even ones, so the parts never meet.
  return new InMemorySplit(make(images), () => make(draw(test, seed, 1)));
}

/** Every ten pictures in a row hold every digit once, in random order. */
function labelsOf(count: number, seed: number): Int32Array {
  const labels = new Int32Array(count);
  for (let start = 0; start < count; start += 10) {
    const order = new Random(seed, 2 ** 40 + start).permutation(10);
    labels.set(order.subarray(0, Math.min(10, count - start)), start);
  }
  return labels;
}

function draw(count: number, seed: number, part: 0 | 1): Uint8Array {
  const images = allocate('uint8', count * pixels, 'glyphs') as Uint8Array;
  const labels = labelsOf(count, seed);
  const ink = new Float32Array(pixels);
  for (let i = 0; i < count; ++i) {
    drawDigit(labels[i] ?? 0, new Random(seed, 2 * i + part), ink);
    for (let p = 0; p < pixels; ++p) images[i * pixels + p] = Math.round(255 * Math.min(1, Math.max(0, ink[p] ?? 0)));
  }
  return images;
}

/** One picture, ink from 0 to 1. */
function drawDigit(digit: number, random: Random, ink: Float32Array): void {
  const variants = glyphStrokes[digit] ?? [];
  const strokes = variants[random.integer(variants.length)] ?? [];
  const warp = randomWarp(random);
  const contrast = between(random, 0.55, 1);
  const radius = between(random, 0.65, 1.7);
  ink.fill(0);
  for (const stroke of strokes) {
    const path = stroke.map(([x, y]): Point => warp([x + 0.012 * random.normal(), y + 0.012 * random.normal()]));
    drawPath(path, radius, contrast, ink);
  }
  addClutter(random, ink);
  addNoise(random, ink);
}

function between(random: Random, low: number, high: number): number {
  return low + (high - low) * random.uniform();
}

/** From the digit's box to pixels: rotation, shear, scale and shift, then a smooth displacement by a few long waves. */
function randomWarp(random: Random): (point: Point) => Point {
  const angle = 0.16 * random.normal();
  const shear = 0.16 * random.normal();
  const height = between(random, 16, 22.5);
  const width = height * between(random, 0.68, 1);
  const centre: Point = [side / 2 + 1.2 * random.normal(), side / 2 + 1.1 * random.normal()];
  const waves = Array.from({ length: 4 }, (_, i) => ({
    axis: i % 2,
    fx: between(random, -1.3, 1.3),
    fy: between(random, -1.3, 1.3),
    phase: between(random, 0, 2 * Math.PI),
    amplitude: 0.047 * random.normal(),
  }));
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  return ([x, y]) => {
    let [u, v] = [x - 0.5, y - 0.5];
    for (const { axis, fx, fy, phase, amplitude } of waves) {
      const shift = amplitude * Math.sin(2 * Math.PI * (fx * x + fy * y) + phase);
      if (axis === 0) u += shift;
      else v += shift;
    }
    u = (u - shear * v) * width;
    v *= height;
    return [centre[0] + cos * u - sin * v, centre[1] + sin * u + cos * v];
  };
}

/** Draws with a round pen: full ink inside the radius, one pixel of slope at its edge. Ink does not add up where strokes cross. */
function drawPath(path: readonly Point[], radius: number, contrast: number, ink: Float32Array): void {
  for (let i = 1; i < path.length; ++i) drawSegment(path[i - 1] ?? [0, 0], path[i] ?? [0, 0], radius, contrast, ink);
}

function drawSegment([ax, ay]: Point, [bx, by]: Point, radius: number, contrast: number, ink: Float32Array): void {
  const reach = radius + 1;
  const left = Math.max(0, Math.floor(Math.min(ax, bx) - reach));
  const right = Math.min(side - 1, Math.ceil(Math.max(ax, bx) + reach));
  const top = Math.max(0, Math.floor(Math.min(ay, by) - reach));
  const bottom = Math.min(side - 1, Math.ceil(Math.max(ay, by) + reach));
  const [dx, dy] = [bx - ax, by - ay];
  const perLength = 1 / (dx * dx + dy * dy || 1);
  for (let y = top; y <= bottom; ++y) {
    for (let x = left; x <= right; ++x) {
      const [px, py] = [x + 0.5 - ax, y + 0.5 - ay];
      const along = Math.min(1, Math.max(0, (px * dx + py * dy) * perLength));
      const distance = Math.hypot(px - along * dx, py - along * dy);
      const cover = contrast * Math.min(1, Math.max(0, radius + 0.5 - distance));
      const at = y * side + x;
      if (cover > (ink[at] ?? 0)) ink[at] = cover;
    }
  }
}

/** Bits of other strokes, mostly towards the edges. */
function addClutter(random: Random, ink: Float32Array): void {
  for (let count = random.integer(4); count > 0; --count) {
    const angle = between(random, 0, 2 * Math.PI);
    const away = between(random, 9.5, 15);
    const start: Point = [side / 2 + away * Math.cos(angle), side / 2 + away * Math.sin(angle)];
    const turn = between(random, 0, 2 * Math.PI);
    const length = between(random, 1.5, 6);
    const end: Point = [start[0] + length * Math.cos(turn), start[1] + length * Math.sin(turn)];
    drawPath([start, end], between(random, 0.4, 1.3), between(random, 0.3, 0.9), ink);
  }
}

/** A slanted background and grain. */
function addNoise(random: Random, ink: Float32Array): void {
  const [floor, slopeX, slopeY] = [
    between(random, 0, 0.15),
    between(random, -0.006, 0.006),
    between(random, -0.006, 0.006),
  ];
  const grain = between(random, 0.1, 0.35);
  let state = random.bits();
  for (let i = 0; i < pixels; ++i) {
    // Steele, Lea, Flood 2014 ("splitmix"), 32-bit finaliser of Wellons: one cheap draw per pixel
    state = (state + 0x9e3779b9) | 0;
    let bits = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    bits = Math.imul(bits ^ (bits >>> 15), 0x735a2d97);
    const uniform = ((bits ^ (bits >>> 15)) >>> 0) * 2 ** -32;
    const background = floor + slopeX * ((i % side) - 14) + slopeY * (Math.floor(i / side) - 14);
    ink[i] = background + (1 - background) * (ink[i] ?? 0) + grain * (uniform - 0.5);
  }
}
