import type { Tensor } from '../../tensor.js';
import { blend, Canvas, type Colour, faint, grid } from './canvas.js';
import { textWidth } from './font.js';

const diverging: readonly Colour[] = [
  [33, 92, 156],
  [120, 170, 214],
  [246, 246, 246],
  [240, 150, 100],
  [178, 44, 32],
];

/**
 * The filters of a first layer as a grid. One input channel: blue is negative, red positive, white zero, each filter
 * scaled by its own largest weight. Three: taken as red, green and blue, each filter spread over the whole range.
 * Other numbers of channels: their mean, drawn as one channel.
 * @param weight  [K, C, R, S]
 */
export function drawFilters(weight: Tensor, title: string): Canvas {
  const [count = 0, channels = 0, rows = 0, columns = 0] = weight.shape;
  const scale = Math.max(2, Math.floor(60 / Math.max(rows, columns)));
  const across = Math.min(8, count);
  const down = Math.ceil(count / across);
  const step = { x: columns * scale + 20, y: rows * scale + 36 };
  const colour = channels === 3;
  const width = Math.max(48 + across * step.x - 20, 48 + textWidth(title) * 2);
  const canvas = new Canvas(width, 66 + down * step.y + (colour ? 8 : 46));
  canvas.text(title, 24, 24);
  for (let filter = 0; filter < count; ++filter) {
    const left = 24 + (filter % across) * step.x;
    const top = 62 + Math.floor(filter / across) * step.y;
    const pixel = colour ? colourPixel(weight, filter) : signedPixel(weight, filter);
    canvas.image(left, top, rows, columns, scale, pixel);
    canvas.frame(left, top, columns * scale, rows * scale, grid);
    canvas.text(String(filter), left, top + rows * scale + 7, { colour: faint });
  }
  if (!colour) drawLegend(canvas, 24, 66 + down * step.y);
  return canvas;
}

type Pixel = (row: number, column: number) => Colour;

function signedPixel(weight: Tensor, filter: number): Pixel {
  const [, channels = 1, rows = 1, columns = 1] = weight.shape;
  const plane = rows * columns;
  const mean = Float64Array.from({ length: plane }, (_, i) => {
    let sum = 0;
    for (let c = 0; c < channels; ++c) sum += weight.data[(filter * channels + c) * plane + i] ?? 0;
    return sum / channels;
  });
  const largest = mean.reduce((most, value) => Math.max(most, Math.abs(value)), 0) || 1;
  return (row, column) => blend(diverging, 0.5 + (0.5 * (mean[row * columns + column] ?? 0)) / largest);
}

function colourPixel(weight: Tensor, filter: number): Pixel {
  const [, , rows = 1, columns = 1] = weight.shape;
  const plane = rows * columns;
  const own = Float64Array.from(weight.data.subarray(filter * 3 * plane, (filter + 1) * 3 * plane));
  const low = own.reduce((least, value) => Math.min(least, value), Number.POSITIVE_INFINITY);
  const high = own.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY);
  const level = (channel: number, at: number) =>
    Math.round((255 * ((own[channel * plane + at] ?? 0) - low)) / (high - low || 1));
  return (row, column) =>
    [0, 1, 2].map((channel) => level(channel, row * columns + column)) as [number, number, number];
}

function drawLegend(canvas: Canvas, left: number, top: number): void {
  const width = 160;
  canvas.text('−', left, top + 4, { colour: faint });
  for (let x = 0; x < width; ++x) canvas.rect(left + 18 + x, top, 1, 14, blend(diverging, x / (width - 1)));
  canvas.frame(left + 18, top, width, 14, grid);
  canvas.text('+', left + width + 26, top + 1, { colour: faint });
  canvas.rect(left + 18 + width / 2, top + 14, 1, 4, faint);
  canvas.text('0', left + 18 + width / 2, top + 20, { align: 'centre', colour: faint, scale: 1 });
}
