import { sizeOf } from '../../tensor.js';
import type { Attributes } from '../backend.js';
import { need, number, type Operation, type View } from './view.js';

/** Calls `row` for every line of x along attribute `dim`, with the offset of each of its elements. */
function lines(x: View, attributes: Attributes, row: (offsets: readonly number[]) => void): void {
  const dim = number(attributes, 'dim');
  const length = x.shape[dim] as number;
  const inner = sizeOf(x.shape.slice(dim + 1));
  const outer = sizeOf(x.shape.slice(0, dim));
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < inner; i++) row(Array.from({ length }, (_, d) => (o * length + d) * inner + i));
  }
}

const at = (view: View, i: number): number => view.data[i] as number;

const largest = (x: View, offsets: readonly number[]): number =>
  offsets.reduce((best, i) => Math.max(best, at(x, i)), Number.NEGATIVE_INFINITY);

/** y_i = exp(x_i − m) / Σ_j exp(x_j − m) along `dim`, m the largest x: nothing overflows */
export const softmax: Operation = (inputs, outputs, attributes) => {
  const x = need(inputs, 0);
  const y = need(outputs, 0);
  lines(x, attributes, (offsets) => {
    const m = largest(x, offsets);
    const sum = offsets.reduce((total, i) => total + Math.exp(at(x, i) - m), 0);
    for (const i of offsets) y.data[i] = Math.exp(at(x, i) - m) / sum;
  });
};

/** y_i = (x_i − m) − log Σ_j exp(x_j − m) along `dim`, m the largest x */
export const logSoftmax: Operation = (inputs, outputs, attributes) => {
  const x = need(inputs, 0);
  const y = need(outputs, 0);
  lines(x, attributes, (offsets) => {
    const m = largest(x, offsets);
    const sum = offsets.reduce((total, i) => total + Math.exp(at(x, i) - m), 0);
    for (const i of offsets) y.data[i] = at(x, i) - m - Math.log(sum);
  });
};

/** dx_i = y_i · (dy_i − Σ_j dy_j·y_j) */
export const softmaxBackward: Operation = (inputs, outputs, attributes) => {
  const dy = need(inputs, 0);
  const y = need(inputs, 1);
  const dx = need(outputs, 0);
  lines(y, attributes, (offsets) => {
    const dot = offsets.reduce((sum, i) => sum + at(dy, i) * at(y, i), 0);
    for (const i of offsets) dx.data[i] = at(y, i) * (at(dy, i) - dot);
  });
};

/** dx_i = dy_i − exp(y_i) · Σ_j dy_j */
export const logSoftmaxBackward: Operation = (inputs, outputs, attributes) => {
  const dy = need(inputs, 0);
  const y = need(inputs, 1);
  const dx = need(outputs, 0);
  lines(y, attributes, (offsets) => {
    const sum = offsets.reduce((total, i) => total + at(dy, i), 0);
    for (const i of offsets) dx.data[i] = at(dy, i) - Math.exp(at(y, i)) * sum;
  });
};
