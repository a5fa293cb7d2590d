import type { ArrayDataset } from '../../data/dataset.js';
import { sizeOf } from '../../tensor.js';
import { Canvas, type Colour, faint, fitText, grid } from './canvas.js';
import { textWidth } from './font.js';

/** A test image that was taken for something else. */
export interface Mistake {
  readonly index: number;
  readonly truth: number;
  readonly predicted: number;
  /** Probability that the model gave its answer. */
  readonly confidence: number;
}

const good: Colour = [24, 122, 72];
const bad: Colour = [190, 50, 30];

/**
 * Wrongly classified images, the most confident mistakes first, each with its true class, the predicted one and how sure
 * the model was.
 * @param most  how many at most
 */
export function drawMistakes(set: ArrayDataset, mistakes: readonly Mistake[], title: string, most = 40): Canvas {
  const [, height = 1, width = 1] = set.imageShape;
  const scale = Math.max(1, Math.round(112 / Math.max(height, width)));
  const names = set.classes ?? [];
  const nameOf = (label: number) => names[label] ?? String(label);
  const shown = [...mistakes].sort((a, b) => b.confidence - a.confidence || a.index - b.index).slice(0, most);
  const across = Math.min(8, Math.max(shown.length, 1));
  const down = Math.ceil(shown.length / across);
  const labels = shown.flatMap(({ truth, predicted }) => [nameOf(truth), `→ ${nameOf(predicted)}`]);
  const labelWidth = Math.min(170, Math.max(0, ...labels.map((label) => textWidth(label) * 2)));
  const cell = { width: Math.max(width * scale, labelWidth) + 18, height: height * scale + 90 };
  const canvas = new Canvas(
    Math.max(48 + across * cell.width - 18, 48 + textWidth(title) * 2),
    66 + Math.max(down, 1) * cell.height,
  );
  canvas.text(title, 24, 24);
  if (shown.length === 0) canvas.text('none', 24, 66, { colour: faint });
  shown.forEach((mistake, i) => {
    const left = 24 + (i % across) * cell.width;
    const top = 64 + Math.floor(i / across) * cell.height;
    canvas.image(left, top, height, width, scale, pixelOf(set, mistake.index));
    canvas.frame(left, top, width * scale, height * scale, grid);
    const below = top + height * scale + 8;
    canvas.text(fitText(nameOf(mistake.truth), cell.width - 18), left, below, { colour: good });
    canvas.text(fitText(`→ ${nameOf(mistake.predicted)}`, cell.width - 18), left, below + 20, { colour: bad });
    canvas.text(`${Math.round(100 * mistake.confidence)}%`, left, below + 40, { colour: faint });
  });
  return canvas;
}

/** The stored pixels, grey or in colour; float pictures are spread from their least to their largest value. */
function pixelOf(set: ArrayDataset, index: number): (row: number, column: number) => Colour {
  const [channels = 1, height = 1, width = 1] = set.imageShape;
  const size = sizeOf(set.imageShape);
  const own = set.images.subarray(index * size, (index + 1) * size);
  const bytes = own instanceof Uint8Array;
  const low = bytes ? 0 : Math.min(...own);
  const high = bytes ? 255 : Math.max(...own);
  const level = (channel: number, row: number, column: number) => {
    const value = own[((channels === 3 ? channel : 0) * height + row) * width + column] ?? 0;
    return Math.round((255 * (value - low)) / (high - low || 1));
  };
  return (row, column) => [level(0, row, column), level(1, row, column), level(2, row, column)];
}
