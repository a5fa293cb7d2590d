import { channel, moments } from './channels.js';
import { writeMask } from './mask.js';
import { activate, need, number, type Operation, text, type View } from './view.js';

const at = (view: View, i: number): number => view.data[i] as number;
/** An optional per-channel operand, or what its absence means. */
const orElse = (view: View | null | undefined, c: number, otherwise: number): number =>
  view ? at(view, c) : otherwise;

/** y = act((x − mean) · invStd · weight + bias + residual) on one channel */
function normalizeChannel(
  x: View,
  y: View,
  c: number,
  mean: number,
  invStd: number,
  weight: number,
  bias: number,
  residual: View | null | undefined,
  activation: string,
): void {
  channel(x, c, (i) => {
    const value = (at(x, i) - mean) * invStd * weight + bias + (residual ? at(residual, i) : 0);
    y.data[i] = activate(value, activation);
  });
}

/**
 * Over the M elements of each channel: mean = Σx / M, var = Σ(x − mean)² / M, invStd = 1/√(var + eps),
 * y = act((x − mean)·invStd·weight + bias + residual);
 * running ← (1 − momentum)·running + momentum·(mean, var·M/(M − 1)). Mean and var may be given instead.
 * Source: Ioffe and Szegedy 2015; torch.nn.BatchNorm2d for the running statistics.
 */
export const batchNormTrain: Operation = (inputs, outputs, attributes) => {
  const x = need(inputs, 0);
  const [, weight, bias, runningMean, runningVar, residual, givenMean, givenVar] = inputs;
  const y = need(outputs, 0);
  const [, meanOut, invStdOut, newMean, newVar, mask] = outputs;
  const eps = number(attributes, 'eps');
  const momentum = number(attributes, 'momentum');
  const activation = text(attributes, 'activation');
  const M = x.data.length / (x.shape[1] as number);
  for (let c = 0; c < (x.shape[1] as number); c++) {
    const { mean, squares } =
      givenMean && givenVar ? { mean: at(givenMean, c), squares: at(givenVar, c) * M } : moments(x, c);
    const variance = squares / M;
    const invStd = 1 / Math.sqrt(variance + eps);
    normalizeChannel(x, y, c, mean, invStd, orElse(weight, c, 1), orElse(bias, c, 0), residual, activation);
    if (meanOut) meanOut.data[c] = mean;
    if (invStdOut) invStdOut.data[c] = invStd;
    if (newMean) newMean.data[c] = (1 - momentum) * orElse(runningMean, c, 0) + momentum * mean;
    if (newVar) newVar.data[c] = (1 - momentum) * orElse(runningVar, c, 1) + (momentum * squares) / (M - 1);
  }
  if (mask) writeMask(mask, y);
};

/** y = act((x − runningMean)/√(runningVar + eps)·weight + bias + residual) */
export const batchNormInfer: Operation = (inputs, outputs, attributes) => {
  const x = need(inputs, 0);
  const [, weight, bias, , , residual] = inputs;
  const runningMean = need(inputs, 3);
  const runningVar = need(inputs, 4);
  const y = need(outputs, 0);
  const eps = number(attributes, 'eps');
  const activation = text(attributes, 'activation');
  for (let c = 0; c < (x.shape[1] as number); c++) {
    const invStd = 1 / Math.sqrt(at(runningVar, c) + eps);
    const scale = orElse(weight, c, 1);
    normalizeChannel(x, y, c, at(runningMean, c), invStd, scale, orElse(bias, c, 0), residual, activation);
  }
};

/**
 * With g = dy where the ReLU let y pass, x̂ = (x − mean)·invStd and M elements per channel:
 * dresidual = g, dbias = Σg, dweight = Σ g·x̂, and dx is
 *   training:  weight·invStd·(g − Σg/M − x̂·(Σ g·x̂)/M), since mean and variance depend on x
 *   inference: weight·invStd·g
 * Σg and Σ g·(x − mean) may be given.
 */
function backward(training: boolean): Operation {
  return (inputs, outputs, attributes) => {
    const dy = need(inputs, 0);
    const x = need(inputs, 1);
    const weight = inputs[3];
    const center = need(inputs, 4);
    const spread = need(inputs, 5);
    const sums = inputs[6];
    const [dx, dweight, dbias, dresidual] = outputs;
    const relu = text(attributes, 'activation') === 'relu';
    const y = relu ? need(inputs, 2) : null;
    const C = x.shape[1] as number;
    const M = x.data.length / C;
    const gradAt = (i: number): number => (y && !(at(y, i) > 0) ? 0 : at(dy, i));
    for (let c = 0; c < C; c++) {
      const mean = at(center, c);
      const invStd = training ? at(spread, c) : 1 / Math.sqrt(at(spread, c) + number(attributes, 'eps'));
      let sum = sums ? at(sums, c) : 0;
      let sumXhat = sums ? at(sums, C + c) * invStd : 0;
      if (!sums) {
        channel(x, c, (i) => {
          sum += gradAt(i);
          sumXhat += gradAt(i) * (at(x, i) - mean) * invStd;
        });
      }
      channel(x, c, (i) => {
        const g = gradAt(i);
        const xhat = (at(x, i) - mean) * invStd;
        const throughStatistics = training ? sum / M + (xhat * sumXhat) / M : 0;
        if (dx) dx.data[i] = orElse(weight, c, 1) * invStd * (g - throughStatistics);
        if (dresidual) dresidual.data[i] = g;
      });
      if (dweight) dweight.data[c] = sumXhat;
      if (dbias) dbias.data[c] = sum;
    }
  };
}

export const batchNormTrainBackward = backward(true);
export const batchNormInferBackward = backward(false);
