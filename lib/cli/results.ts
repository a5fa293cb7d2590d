import { join } from 'node:path';
import type { InMemoryDataset } from '../data/array-dataset.js';
import { writeFileAtomic } from '../formats/atomic-file.js';
import { encodePng } from '../formats/png.js';
import type { Module } from '../nn/module.js';
import { classify } from './classify.js';
import type { Canvas } from './pictures/canvas.js';
import { confusionMatrix, drawConfusionMatrix } from './pictures/confusion-matrix.js';
import { drawFilters } from './pictures/filters.js';
import { drawMistakes, type Mistake } from './pictures/mistakes.js';
import { count, type Output, percent } from './terminal.js';

export interface ResultOptions {
  readonly model: Module;
  readonly test: InMemoryDataset;
  readonly out: string;
  readonly threads: number | undefined;
}

/**
 * Classifies the test set with the trained model, and writes the confusion matrix, the filters of the first convolution
 * and the mistakes as PNG files.
 * @throws FoveaError ERR_IO
 */
export async function writeResults(output: Output, { model, test, out, threads }: ResultOptions): Promise<void> {
  const { predictions, confidences } = await classify(model, test, threads);
  const mistakes: Mistake[] = [];
  test.labels.forEach((truth, index) => {
    const predicted = predictions[index] ?? 0;
    if (predicted !== truth) mistakes.push({ index, truth, predicted, confidence: confidences[index] ?? 0 });
  });
  const accuracy = 1 - mistakes.length / test.length;
  const total = count(test.length);
  output.line(
    `test accuracy ${percent(accuracy)}: ${count(mistakes.length)} of ${total} images are wrongly classified`,
  );
  const classes = classNames(test);
  const matrix = confusionMatrix(test.labels, predictions, classes.length);
  const title = `${percent(accuracy)} of ${total} test images are right`;
  await writePicture(
    output,
    'confusion matrix',
    join(out, 'confusion-matrix.png'),
    drawConfusionMatrix(matrix, classes, title),
  );
  const filters = firstFilters(model);
  if (filters) {
    const [kernels, channels, rows, columns] = filters.shape;
    const what = `The first layer's ${kernels} filters of ${rows}×${columns}${channels === 3 ? ' on red, green, blue' : ''}`;
    await writePicture(output, 'first-layer filters', join(out, 'filters.png'), drawFilters(filters, what));
  }
  const shown = Math.min(40, mistakes.length);
  const heading = `${count(mistakes.length)} of ${total} wrongly classified${shown < mistakes.length ? `; the ${shown} it was most sure of` : ''}: true → predicted`;
  await writePicture(output, 'wrongly classified', join(out, 'mistakes.png'), drawMistakes(test, mistakes, heading));
}

async function writePicture(output: Output, what: string, path: string, canvas: Canvas): Promise<void> {
  await writeFileAtomic(path, encodePng(canvas));
  output.line(`${what.padEnd(20)} ${path}`);
}

function classNames(test: InMemoryDataset): readonly string[] {
  const most = test.labels.reduce((largest, label) => Math.max(largest, label + 1), 2);
  return test.classes ?? Array.from({ length: most }, (_, label) => String(label));
}

/** The weight of the first convolution, [K, C, R, S]. */
function firstFilters(model: Module) {
  return model.parameters().find(({ shape }) => shape.length === 4);
}
