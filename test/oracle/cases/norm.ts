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
  { x: [3, 40, 20, 30], affine: true, residual: true, relu: true }, // several images to a task, and several tasks
  { x: [2, 20, 50, 50], affine: true, running: true, relu: true }, // several tasks to an image
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

/** x, …, residual, mean, variance: those of x, as the convolution that made x gives them. */
function withStatistics(norm: Norm, make: Make): (Tensor | null)[] {
  const inputs = forward(norm, make, norm.running ?? false);
  const x = inputs[0] as Tensor;
  const none: Attributes = { eps: 0, momentum: 0, activation: 'none' };
  const statistic: Spec = { shape: channels(norm), dtype: make.dtype };
  const [, mean, invStd] = runReference({
    operator: 'batchNormTrain',
    inputs: [x],
    outputs: [{ shape: norm.x, dtype: make.dtype }, statistic, statistic],
    attributes: none,
  });
  const variance = invStd?.clone();
  variance?.data.forEach((value: number, i: number) => {
    variance.data[i] = Math.fround(1 / value ** 2);
  });
  mean?.data.forEach((value: number, i: number) => {
    mean.data[i] = Math.fround(value);
  });
  return [...inputs, mean ?? null, variance ?? null];
}

/** dy, …, invStd, sums: a gradient that was masked before, with Σ dy and Σ dy·(x − mean). */
function withSums(norm: Norm, make: Make): (Tensor | null)[] {
  const inputs = backward({ ...norm, relu: false }, make, true);
  return [...inputs, make.float([2, ...channels(norm)])];
}

type Operands = readonly (Tensor | null)[];

/** 1 for an absent factor. */
const factor = (tensor: Tensor | null | undefined): number => (tensor ? largest(tensor) : 1);

/** Largest 1/√(variance + eps). */
const inverse = (variance: Tensor | null | undefined): number =>
  1 / Math.sqrt(Math.min(...(variance?.data ?? [1])) + eps);

/** y = (x − mean)·invStd·weight + bias + residual: each of the terms is rounded. */
function forwardScale(
  [x, weight, bias, , , residual]: Operands,
  mean: Tensor | null | undefined,
  invStd: number,
): number {
  return (largest(x) + largest(mean)) * invStd * factor(weight) + largest(bias) + largest(residual);
}

/** y as above; mean, invStd and the running statistics are of the size of x and x². */
function trainScale(inputs: Operands, [, mean, invStd]: Operands): readonly number[] {
  const size = largest(inputs[0]);
  return [forwardScale(inputs, mean, largest(invStd)), size, largest(invStd), size, size * size];
}

/**
 * dx = weight·invStd·(g − mean g − x̂·mean(g·x̂)) cancels, so what counts is the size of its terms; Σ g·x̂ and Σ g have M of
 * them, whose roundings add up like √M.
 */
function backwardScale([dy, x, , weight, mean]: Operands, invStd: number): readonly number[] {
  const xhat = (largest(x) + largest(mean)) * invStd;
  const root = Math.sqrt((x?.data.length ?? 0) / (x?.shape[1] ?? 1));
  const g = largest(dy);
  return [factor(weight) * invStd * g * (2 + xhat), g * xhat * root, g * root, g];
}

function cases(make: (norm: Norm) => Pick<Case, 'attributes' | 'inputs' | 'agreement'>): Case[] {
  return norms.map((norm) => ({ name: nameOf(norm), ...make(norm) }));
}

/** With the operands that only lib/graph/epilogue.ts gives, after differentiation. */
function fused(what: string, make: (norm: Norm) => Pick<Case, 'attributes' | 'inputs' | 'agreement'>): Case[] {
  return norms.map((norm) => ({ name: `${nameOf(norm)} with ${what}`, oracleOnly: true, ...make(norm) }));
}

const trainAgreement = { kind: 'near', ulps: 8, scale: trainScale } as const;

export const normCases: Cases = {
  batchNormTrain: [
    ...cases((norm) => ({
      attributes: { eps, momentum: 0.1, activation: activation(norm) },
      inputs: (make) => forward(norm, make, norm.running ?? false),
      agreement: trainAgreement,
    })),
    ...fused('statistics', (norm) => ({
      attributes: { eps, momentum: 0.1, activation: activation(norm) },
      inputs: (make) => withStatistics(norm, make),
      agreement: trainAgreement,
    })),
    ...fused('statistics and mask', (norm) => ({
      attributes: { eps, momentum: 0.1, activation: 'relu', withMask: true },
      inputs: (make) => withStatistics(norm, make),
      agreement: trainAgreement,
    })),
  ],
  batchNormTrainBackward: [
    ...cases((norm) => ({
      attributes: { activation: activation(norm), ...wanted(norm) },
      inputs: (make) => backward(norm, make, true),
      agreement: { kind: 'near', ulps: 4, scale: (inputs) => backwardScale(inputs, largest(inputs[5])) },
    })),
    ...fused('sums', (norm) => ({
      attributes: { activation: 'none', ...wanted(norm), withResidual: false },
      inputs: (make) => withSums(norm, make),
      agreement: {
        kind: 'near',
        ulps: 4,
        scale: (inputs) => {
          const [dx = 0, dweight, dbias] = backwardScale(inputs, largest(inputs[5]));
          return [dx * (1 + largest(inputs[6])), dweight ?? 0, dbias ?? 0];
        },
      },
    })),
  ],
  batchNormInfer: cases((norm) => ({
    attributes: { eps, activation: activation(norm) },
    inputs: (make) => forward(norm, make, true),
    agreement: { kind: 'near', ulps: 8, scale: (inputs) => [forwardScale(inputs, inputs[3], inverse(inputs[4]))] },
  })),
  batchNormInferBackward: cases((norm) => ({
    attributes: { eps, activation: activation(norm), ...wanted(norm) },
    inputs: (make) => backward(norm, make, false),
    agreement: { kind: 'near', ulps: 4, scale: (inputs) => backwardScale(inputs, inverse(inputs[5])) },
  })),
};
