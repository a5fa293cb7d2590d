import { FoveaError } from '../../errors.js';
import { sizeOf } from '../../tensor.js';
import { need, number, type Operation, type View } from './view.js';

const at = (view: View, i: number): number => view.data[i] as number;

function checkIndices(indices: View, length: number, operator: string): void {
  for (let i = 0; i < indices.data.length; i++) {
    const index = at(indices, i);
    if (index >= 0 && index < length) continue;
    throw new FoveaError('ERR_DATA', operator, `index ${index} at ${i} is not one of the ${length} samples`);
  }
}

/** y[n, c, …] = (source[row(n), c, …]·scale − mean[c]) / std[c]; absent mean is 0, absent std is 1 */
function normalizeRows(
  source: View,
  row: (n: number) => number,
  mean: View | null,
  std: View | null,
  scale: number,
  y: View,
): void {
  const sample = sizeOf(source.shape.slice(1));
  const pixels = sizeOf(source.shape.slice(2));
  for (let n = 0; n < (y.shape[0] as number); n++) {
    for (let i = 0; i < sample; i++) {
      const c = Math.floor(i / pixels);
      const value = at(source, row(n) * sample + i) * scale - (mean ? at(mean, c) : 0);
      y.data[n * sample + i] = value / (std ? at(std, c) : 1);
    }
  }
}

/** Picks the samples of a batch from a data set [T, C, …] and normalises them per channel. */
export const gather: Operation = (inputs, outputs, attributes) => {
  const source = need(inputs, 0);
  const indices = need(inputs, 1);
  checkIndices(indices, source.shape[0] as number, 'gather');
  const scale = number(attributes, 'scale');
  normalizeRows(source, (n) => at(indices, n), inputs[2] ?? null, inputs[3] ?? null, scale, need(outputs, 0));
};

/** y[n] = labels[indices[n]] */
export const gatherLabels: Operation = (inputs, outputs) => {
  const labels = need(inputs, 0);
  const indices = need(inputs, 1);
  const y = need(outputs, 0);
  checkIndices(indices, labels.data.length, 'gatherLabels');
  for (let n = 0; n < y.data.length; n++) y.data[n] = at(labels, at(indices, n));
};

/** y = (x·scale − mean[c]) / std[c] on a whole batch [N, C, …] */
export const normalize: Operation = (inputs, outputs, attributes) => {
  const scale = number(attributes, 'scale');
  normalizeRows(need(inputs, 0), (n) => n, inputs[1] ?? null, inputs[2] ?? null, scale, need(outputs, 0));
};
