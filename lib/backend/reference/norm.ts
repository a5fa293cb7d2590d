import { activate, need, number, type Operation, text, type View } from './view.js';

/** Visits every element of channel c of x [N, C, …] by its offset. */
function channel(x: View, c: number, visit: (i: number) => void): void {
  const [N, C] = x.shape as [number, number];
  const L = x.data.length / (N * C); // pixels of one image
  for (let n = 0; n < N; n++) for (let l = 0; l < L; l++) visit((n * C + c) * L + l);
}

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
 * running ← (1 − momentum)·running + momentum·(mean, var·M/(M − 1)).
 * Source: Ioffe and Szegedy 2015; torch.nn.BatchNorm2d for the running statistics.
 */
export const batchNormTrain: Operation = (inputs, outputs, attributes) => {
  const x = need(inputs, 0);
  const [, weight, bias, runningMean, runningVar, residual] = inputs;
  const y = need(outputs, 0);
  const [, meanOut, invStdOut, newMean, newVar] = outputs;
  const eps = number(attributes, 'eps');
  const momentum = number(attributes, 'momentum');
  const activation = text(attributes, 'activation');
  const C = x.shape[1] as number;
  const M = x.data.length / C;
  for (let c = 0; c < C; c++) {
    let sum = 0;
    channel(x, c, (i) => {
      sum += at(x, i);
    });
    const mean = sum / M;
    let squares = 0;
    channel(x, c, (i) => {
      squares += (at(x, i) - mean) ** 2;
    });
    const variance = squares / M;
    const invStd = 1 / Math.sqrt(variance + eps);
    normalizeChannel(x, y, c, mean, invStd, orElse(weight, c, 1), orElse(bias, c, 0), residual, activation);
    if (meanOut) meanOut.data[c] = mean;
    if (invStdOut) invStdOut.data[c] = invStd;
    if (newMean) newMean.data[c] = (1 - momentum) * orElse(runningMean, c, 0) + momentum * mean;
    if (newVar) newVar.data[c] = (1 - momentum) * orElse(runningVar, c, 1) + (momentum * squares) / (M - 1);
  }
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
 */
function backward(training: boolean): Operation {
  return (inputs, outputs, attributes) => {
    const dy = need(inputs, 0);
    const x = need(inputs, 1);
    const weight = inputs[3];
    const center = need(inputs, 4);
    const spread = need(inputs, 5);
    const [dx, dweight, dbias, dresidual] = outputs;
    const relu = text(attributes, 'activation') === 'relu';
    const y = relu ? need(inputs, 2) : null;
    const C = x.shape[1] as number;
    const M = x.data.length / C;
    const gradAt = (i: number): number => (y && !(at(y, i) > 0) ? 0 : at(dy, i));
    for (let c = 0; c < C; c++) {
      const mean = at(center, c);
      const invStd = training ? at(spread, c) : 1 / Math.sqrt(at(spread, c) + number(attributes, 'eps'));
      let sum = 0;
      let sumXhat = 0;
      channel(x, c, (i) => {
        sum += gradAt(i);
        sumXhat += gradAt(i) * (at(x, i) - mean) * invStd;
      });
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
