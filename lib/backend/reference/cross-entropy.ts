import { FoveaError } from '../../errors.js';
import type { Attributes } from '../backend.js';
import { need, number, type Operation, text, type View } from './view.js';

const at = (view: View, i: number): number => view.data[i] as number;

/** Logits [N, C, …] and labels [N, …] as N·L pixels: where pixel i keeps the logit of class c. */
interface Pixels {
  readonly classes: number;
  readonly count: number;
  offset(pixel: number, c: number): number;
}

function pixelsOf(logits: View): Pixels {
  const [N, C] = logits.shape as [number, number];
  const L = N * C === 0 ? 0 : logits.data.length / (N * C);
  return { classes: C, count: N * L, offset: (pixel, c) => (Math.floor(pixel / L) * C + c) * L + (pixel % L) };
}

function checkLabels(labels: View, classes: number, ignoreIndex: number): void {
  for (let i = 0; i < labels.data.length; i++) {
    const label = at(labels, i);
    if (label === ignoreIndex || (label >= 0 && label < classes)) continue;
    throw new FoveaError(
      'ERR_DATA',
      'crossEntropy',
      `label ${label} at ${i} is not one of the ${classes} classes 0 … ${classes - 1}`,
    );
  }
}

/** log p_c = (x_c − m) − log Σ exp(x − m) of one pixel, m the largest x */
function logProbabilities(logits: View, pixels: Pixels, pixel: number): number[] {
  const x = Array.from({ length: pixels.classes }, (_, c) => at(logits, pixels.offset(pixel, c)));
  const m = x.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const sum = x.reduce((total, v) => total + Math.exp(v - m), 0);
  return x.map((v) => v - m - Math.log(sum));
}

/**
 * What the loss asks of each class of a pixel with label y: t_c = (1 − ε)·w_y·[c = y] + ε/C·w_c, so that its loss is
 * −Σ_c t_c·log p_c. Source: torch.nn.CrossEntropyLoss; smoothing from Szegedy et al. 2016.
 */
function targets(label: number, classes: number, weight: View | null | undefined, smoothing: number): number[] {
  return Array.from({ length: classes }, (_, c) => {
    const w = weight ? at(weight, c) : 1;
    return (c === label ? (1 - smoothing) * w : 0) + (smoothing / classes) * w;
  });
}

/** The divisor of reduction 'mean': Σ w_y over the pixels that count. */
function totalWeight(labels: View, weight: View | null | undefined, ignoreIndex: number): number {
  let total = 0;
  for (let i = 0; i < labels.data.length; i++) {
    const label = at(labels, i);
    if (label !== ignoreIndex) total += weight ? at(weight, label) : 1;
  }
  return total;
}

function read(attributes: Attributes): { ignoreIndex: number; smoothing: number; reduction: string } {
  return {
    ignoreIndex: number(attributes, 'ignoreIndex'),
    smoothing: number(attributes, 'labelSmoothing'),
    reduction: text(attributes, 'reduction'),
  };
}

/** loss_i = −Σ_c t_c·log p_c, 0 where the label is ignoreIndex; 'sum' Σ loss_i, 'mean' Σ loss_i / Σ w_y */
export const crossEntropy: Operation = (inputs, outputs, attributes) => {
  const logits = need(inputs, 0);
  const labels = need(inputs, 1);
  const weight = inputs[2];
  const loss = need(outputs, 0);
  const { ignoreIndex, smoothing, reduction } = read(attributes);
  const pixels = pixelsOf(logits);
  checkLabels(labels, pixels.classes, ignoreIndex);
  let sum = 0;
  for (let i = 0; i < pixels.count; i++) {
    let own = 0;
    if (at(labels, i) !== ignoreIndex) {
      const logP = logProbabilities(logits, pixels, i);
      targets(at(labels, i), pixels.classes, weight, smoothing).forEach((t, c) => {
        if (t !== 0) own -= t * (logP[c] as number);
      });
    }
    if (reduction === 'none') loss.data[i] = own;
    sum += own;
  }
  if (reduction === 'sum') loss.data[0] = sum;
  if (reduction === 'mean') loss.data[0] = sum / totalWeight(labels, weight, ignoreIndex);
};

/** dlogits_c = g_i·(p_c·Σt − t_c), g_i the gradient of loss_i: dloss_i ('none'), dloss ('sum'), dloss / Σ w_y ('mean') */
export const crossEntropyBackward: Operation = (inputs, outputs, attributes) => {
  const dloss = need(inputs, 0);
  const logits = need(inputs, 1);
  const labels = need(inputs, 2);
  const weight = inputs[3];
  const dlogits = need(outputs, 0);
  const { ignoreIndex, smoothing, reduction } = read(attributes);
  const pixels = pixelsOf(logits);
  checkLabels(labels, pixels.classes, ignoreIndex);
  const divisor = reduction === 'mean' ? totalWeight(labels, weight, ignoreIndex) : 1;
  for (let i = 0; i < pixels.count; i++) {
    const label = at(labels, i);
    const g = at(dloss, reduction === 'none' ? i : 0) / divisor;
    const logP = logProbabilities(logits, pixels, i);
    const t = label === ignoreIndex ? [] : targets(label, pixels.classes, weight, smoothing);
    const sum = t.reduce((a, b) => a + b, 0);
    for (let c = 0; c < pixels.classes; c++) {
      const gradient = label === ignoreIndex ? 0 : g * (Math.exp(logP[c] as number) * sum - (t[c] as number));
      dlogits.data[pixels.offset(i, c)] = gradient;
    }
  }
};

/** How many pixels have their largest logit (the first, among equals) at their label. */
export const countCorrect: Operation = (inputs, outputs) => {
  const logits = need(inputs, 0);
  const labels = need(inputs, 1);
  const pixels = pixelsOf(logits);
  let correct = 0;
  for (let i = 0; i < pixels.count; i++) {
    let best = 0;
    for (let c = 1; c < pixels.classes; c++) {
      if (at(logits, pixels.offset(i, c)) > at(logits, pixels.offset(i, best))) best = c;
    }
    if (best === at(labels, i)) correct++;
  }
  need(outputs, 0).data[0] = correct;
};
