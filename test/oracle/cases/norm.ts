import type { Attributes, Spec } from '../../../lib/backend/backend.js';
import type { Tensor } from '../../../lib/tensor.js';
import type { Make } from '../../helpers/make.js';
import { runReference } from '../../helpers/reference.js';
import { type Case, type Cases, largest } from './case.js';

interface Norm {
  readonly x: readonly number[];
  readonly affine?: boolean;
  readonly running?: boolean;
  readonly residual?: boolean;
  readonly relu?: boolean;
}

const norms: readonly Norm[] = [
  { x: [4, 3], affine: true, running: true },
  { x: [2, 1, 1, 2] },
  { x: [3, 5, 7], running: true },
  { x: [2, 16, 5, 5], affine: true, running: true, relu: true },
  { x: [3, 17, 4, 3], affine: true, residual: true, relu: true },
  { x: [2, 33, 3, 3], affine: true, running: true, residual: true },
  { x: [4, 6, 12, 12], affine: true, running: true },
  { x: [2, 8, 1, 1], relu: true },
];

const eps = 1e-3;
const channels = (norm: Norm) => [norm.x[1] as number];
const activation = (norm: Norm) => (norm.relu ? 'relu' : 'none');

/** Which gradients the backward operators are asked for besides dx. */
function wanted({ affine = false, residual = false }: Norm): Attributes {
  return { withWeight: affine, withBias: affine, withResidual: residual };
}

const nameOf = ({ x, affine, running, residual, relu }: Norm): string =>
  [
    `[${x}]`,
    ...(affine ? ['affine'] : []),
    ...(running ? ['running'] : []),
    ...(residual ? ['residual'] : []),
    ...(relu ? ['relu'] : []),
  ].join(' ');

/** x, weight?, bias?, mean?, var?, residual?: the inputs of both forward operators. */
function forward(norm: Norm, make: Make, running: boolean): (Tensor | null)[] {
  return [
    make.float(norm.x),
    norm.affine ? make.float(channels(norm)) : null,
    norm.affine ? make.float(channels(norm)) : null,
    running ? make.float(channels(norm)) : null,
    running ? make.positive(channels(norm)) : null,
    norm.residual ? make.float(norm.x) : null,
  ];
}

/** dy, x, y?, weight?, and the statistics of the forward run. */
function backward(norm: Norm, make: Make, training: boolean): (Tensor | null)[] {
  const inputs = forward(norm, make, !training);
  const [x, weight, , mean, variance] = inputs;
  const spec: Spec = { shape: norm.x, dtype: make.dtype };
  const statistic: Spec = { shape: channels(norm), dtype: make.dtype };
  const outputs = training ? [spec, statistic, statistic, null, null] : [spec];
  const attributes: Attributes = { eps, momentum: 0.1, activation: activation(norm) };
  const operator = training ? 'batchNormTrain' : 'batchNormInfer';
  const [y, m, s] = runReference({ operator, inputs, outputs, attributes });
  const statistics = training ? [m, s] : [mean, variance];
  return [
    make.float(norm.x),
    x ?? null,
    norm.relu ? (y ?? null) : null,
    weight ?? null,
    ...statistics.map((t) => t ?? null),
  ];
}

/** (x − mean)·invStd·weight + bias + residual: each of the terms is rounded, and the statistics are. */
function forwardScale([x, weight, bias, , variance, residual]: readonly (Tensor | null)[]): number {
  const invStd = 1 / Math.sqrt((variance ? Math.min(...variance.data) : 0) + eps);
  return 2 * largest(x) * Math.min(invStd, 32) * Math.max(1, largest(weight)) + largest(bias) + largest(residual);
}

/** weight·invStd·(g − mean g − x̂·mean(g·x̂)) cancels: what counts is the size of its terms, x̂² included. */
function backwardScale(training: boolean) {
  return ([dy, x, , weight, mean, spread]: readonly (Tensor | null)[]): number => {
    const invStd = training ? largest(spread) : 1 / Math.sqrt(Math.min(...(spread?.data ?? [])) + eps);
    const xhat = (largest(x) + largest(mean)) * invStd;
    const elements = (x?.data.length ?? 0) / (x?.shape[1] ?? 1);
    const sums = largest(dy) * xhat * Math.sqrt(elements);
    return Math.max(
      sums,
      Math.max(1, weight ? largest(weight) : 1) * invStd * largest(dy) * (2 + (training ? xhat * xhat : 0)),
    );
  };
}

function cases(make: (norm: Norm) => Pick<Case, 'attributes' | 'inputs' | 'agreement'>): Case[] {
  return norms.map((norm) => ({ name: nameOf(norm), ...make(norm) }));
}

export const normCases: Cases = {
  batchNormTrain: cases((norm) => ({
    attributes: { eps, momentum: 0.1, activation: activation(norm) },
    inputs: (make) => forward(norm, make, norm.running ?? false),
    agreement: {
      kind: 'near',
      ulps: 16,
      scale: ([x, weight, bias, , , residual]) =>
        forwardScale([x ?? null, weight ?? null, bias ?? null, null, null, residual ?? null]),
    },
  })),
  batchNormTrainBackward: cases((norm) => ({
    attributes: { activation: activation(norm), ...wanted(norm) },
    inputs: (make) => backward(norm, make, true),
    agreement: { kind: 'near', ulps: 16, scale: backwardScale(true) },
  })),
  batchNormInfer: cases((norm) => ({
    attributes: { eps, activation: activation(norm) },
    inputs: (make) => forward(norm, make, true),
    agreement: { kind: 'near', ulps: 16, scale: forwardScale },
  })),
  batchNormInferBackward: cases((norm) => ({
    attributes: { eps, activation: activation(norm), ...wanted(norm) },
    inputs: (make) => backward(norm, make, false),
    agreement: { kind: 'near', ulps: 16, scale: backwardScale(false) },
  })),
};
