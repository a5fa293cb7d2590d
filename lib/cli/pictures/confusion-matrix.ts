import { blend, Canvas, type Colour, faint, fitText, grid, ink, isDark, white } from './canvas.js';
import { textWidth } from './font.js';

/** `counts[truth][predicted]`. */
export type ConfusionMatrix = readonly (readonly number[])[];

/** Counts how often each class was taken for which. */
export function confusionMatrix(
  labels: ArrayLike<number>,
  predictions: ArrayLike<number>,
  classes: number,
): number[][] {
  const counts = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
  for (let i = 0; i < labels.length; ++i) {
    const row = counts[labels[i] ?? 0];
    const column = predictions[i] ?? 0;
    if (row) row[column] = (row[column] ?? 0) + 1;
  }
  return counts;
}

// The signs stand here: a 100% would reach to its neighbour's.
const recall = 'recall %';
const precision = 'precision %';

const right: readonly Colour[] = [white, [203, 221, 240], [107, 160, 209], [33, 92, 156]];
const wrong: readonly Colour[] = [white, [253, 228, 206], [244, 164, 110], [204, 76, 38]];

/**
 * The matrix as a picture: a row per true class, a column per predicted one. Blue on the diagonal, orange beside it,
 * both by the share of the row; shares beside the diagonal are spread so that few mistakes can be seen.
 */
export function drawConfusionMatrix(counts: ConfusionMatrix, classes: readonly string[], title: string): Canvas {
  const count = counts.length;
  const cell = count <= 20 ? 48 : 20;
  const names = classes.map((name) => fitText(name, 150));
  const widest = Math.max(...names.map((name) => textWidth(name) * 2));
  const upright = widest <= cell - 8; // short names need not be turned
  const left = Math.max(24 + 30 + widest, 24 + textWidth(precision) * 2) + 12;
  const top = 24 + 14 + 26 + 20 + (upright ? 14 : widest) + 12;
  const side = count * cell;
  const canvas = new Canvas(
    Math.max(left + side + 12 + textWidth(recall) * 2 + 20, 2 * 24 + textWidth(title) * 2),
    top + side + 52,
  );
  canvas.text(title, 24, 24);
  canvas.text('predicted', left + side / 2, 60, { align: 'centre', colour: faint });
  canvas.text('true', 24, top + side / 2, { align: 'centre', colour: faint, upwards: true });
  names.forEach((name, i) => {
    const middle = i * cell + cell / 2 - 7;
    canvas.text(name, left - 12, top + middle, { align: 'right' });
    if (upright) canvas.text(name, left + i * cell + cell / 2, top - 22, { align: 'centre' });
    else canvas.text(name, left + middle, top - 10, { upwards: true });
  });
  for (const [i, row] of counts.entries()) drawRow(canvas, row, i, { left, top: top + i * cell, cell });
  drawShares(canvas, counts, { left, top, cell });
  canvas.frame(left, top, side, side, faint);
  return canvas;
}

interface Place {
  readonly left: number;
  readonly top: number;
  readonly cell: number;
}

function drawRow(canvas: Canvas, row: readonly number[], index: number, { left, top, cell }: Place): void {
  const total = row.reduce((sum, count) => sum + count, 0) || 1;
  row.forEach((count, column) => {
    const share = count / total;
    const colour = column === index ? blend(right, share) : blend(wrong, Math.sqrt(Math.min(1, share / 0.25)));
    const x = left + column * cell;
    canvas.rect(x, top, cell, cell, grid);
    canvas.rect(x, top, cell - 1, cell - 1, colour);
    if (cell < 30) return;
    const text = String(count);
    const scale = textWidth(text) * 2 <= cell - 6 ? 2 : 1;
    const textColour = count === 0 ? grid : isDark(colour) ? white : ink;
    canvas.text(text, x + cell / 2, top + Math.round(cell / 2 - 3.5 * scale), {
      scale,
      align: 'centre',
      colour: textColour,
    });
  });
}

/** Right of each row the share of the class that was found (recall), below each column the share that was meant (precision). */
function drawShares(canvas: Canvas, counts: ConfusionMatrix, { left, top, cell }: Place): void {
  const side = counts.length * cell;
  const percent = (part: number, whole: number) => (whole === 0 ? '-' : `${Math.round((100 * part) / whole)}`);
  const large = cell >= 30;
  counts.forEach((row, i) => {
    const middle = i * cell + cell / 2;
    const found = percent(
      row[i] ?? 0,
      row.reduce((sum, count) => sum + count, 0),
    );
    const meant = percent(
      row[i] ?? 0,
      counts.reduce((sum, other) => sum + (other[i] ?? 0), 0),
    );
    const scale = large ? 2 : 1;
    canvas.text(found, left + side + 12, Math.round(top + middle - 3.5 * scale), { scale, colour: faint });
    if (large) canvas.text(meant, left + middle, top + side + 14, { align: 'centre', colour: faint });
  });
  if (!large) return;
  canvas.text(recall, left + side + 12, top - 24, { colour: faint });
  canvas.text(precision, left - 12, top + side + 14, { align: 'right', colour: faint });
}
