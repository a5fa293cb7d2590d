import type { Attributes, Spec } from '../../../lib/backend/backend.js';
import type { Tensor } from '../../../lib/tensor.js';
import type { Make } from '../../helpers/make.js';
import { runReference } from '../../helpers/reference.js';
import { type Case, type Cases, largest, same } from './case.js';

type Shape = readonly number[];

const softmaxes: readonly (readonly [Shape, number])[] = [
  [[1], 0],
  [[5], 0],
  [[4, 10], 1],
  [[4, 10], 0],
  [[2, 3, 4], 1],
  [[2, 17, 3, 2], 1],
  [[3, 33], 1],
  [[2, 2, 2, 19], 3],
  [[300, 37], 1],
];

function outputOf(operator: string, x: Tensor, attributes: Attributes): Tensor {
  const outputs: Spec[] = [{ shape: x.shape, dtype: x.dtype }];
  return runReference({ operator, inputs: [x], outputs, attributes })[0] as Tensor;
}

/**
 * exp to 4 ulp of an argument rounded once: eps·(|x| + 4) of the result, which is at most 1; a sum over the line; and for
 * gradients the largest dy times the number of terms.
 */
const softmaxCases = (): Case[] =>
  softmaxes.map(([shape, dim]) => ({
    name: `[${shape}] dim ${dim}`,
    attributes: { dim },
    inputs: (make) => [make.float(shape)],
    agreement: { kind: 'near', ulps: 8, scale: ([x]) => [1 + largest(x)] },
    oracleOnly: shape[0] === 300,
  }));

const softmaxBackwardCases = (operator: string): Case[] =>
  softmaxes.map(([shape, dim]) => ({
    name: `[${shape}] dim ${dim}`,
    attributes: { dim },
    inputs: (make) => [make.float(shape), outputOf(operator, make.float(shape), { dim })],
    agreement: { kind: 'near', ulps: 2, scale: ([dy, y]) => [largest(dy) * (1 + largest(y)) * (shape[dim] as number)] },
    oracleOnly: shape[0] === 300,
  }));

interface Loss {
  readonly logits: Shape;
  readonly weighted?: boolean;
  readonly ignore?: number;
  readonly smoothing?: number;
}

const losses: readonly Loss[] = [
  { logits: [1, 1] },
  { logits: [5, 4] },
  { logits: [6, 4], weighted: true, ignore: 2, smoothing: 0.1 },
  { logits: [4, 3], ignore: 1, smoothing: 0.2 },
  { logits: [2, 3, 2, 2], weighted: true, ignore: 0 },
  { logits: [3, 17, 5], smoothing: 1 },
  { logits: [300, 10] },
  { logits: [33, 100], weighted: true, smoothing: 0.1 },
];
const reductions = ['none', 'mean', 'sum'] as const;

function labelsOf(loss: Loss, make: Make): Tensor {
  const [n, c, ...rest] = loss.logits as [number, number, ...number[]];
  const labels = make.whole([n, ...rest], 0, c);
  // Ignored ones are there, but never all.
  if (loss.ignore !== undefined) labels.data[1] = loss.ignore;
  if (loss.ignore !== undefined) labels.data[0] = (loss.ignore + 1) % c;
  return labels;
}

function crossEntropyCases(backward: boolean): Case[] {
  return losses.flatMap((loss) =>
    reductions.map((reduction) => {
      const { logits, weighted = false, ignore = -100, smoothing = 0 } = loss;
      const [n, c, ...rest] = logits as [number, number, ...number[]];
      const parts = [
        `[${logits}]`,
        ...(weighted ? ['weighted'] : []),
        `ignore ${ignore} smoothing ${smoothing} ${reduction}`,
      ];
      const terms = reduction === 'sum' && !backward ? n * rest.reduce((a, b) => a * b, 1) : 1;
      return {
        name: parts.join(' '),
        attributes: { ignoreIndex: ignore, labelSmoothing: smoothing, reduction },
        inputs: (make) => [
          ...(backward ? [make.float(reduction === 'none' ? [n, ...rest] : [])] : []),
          make.float(logits),
          labelsOf(loss, make),
          weighted ? make.positive([c]) : null,
        ],
        // As softmax; a loss is a sum of |log p| <= 2·|x| + log C, times the weights.
        agreement: {
          kind: 'near',
          ulps: 4,
          scale: (inputs) => {
            const [dy, x, , weight] = backward ? inputs : [null, ...inputs];
            return [(dy ? largest(dy) : 1) * (2 + largest(x)) * (weight ? 2 * largest(weight) : 1) * terms];
          },
        },
        oracleOnly: n > 10,
      } satisfies Case;
    }),
  );
}

export const lossCases: Cases = {
  softmax: softmaxCases(),
  logSoftmax: softmaxCases(),
  softmaxBackward: softmaxBackwardCases('softmax'),
  logSoftmaxBackward: softmaxBackwardCases('logSoftmax'),
  crossEntropy: crossEntropyCases(false),
  crossEntropyBackward: crossEntropyCases(true),
  countCorrect: [
    [1, 1],
    [5, 4],
    [300, 10],
    [64, 3],
  ].map((logits) => ({
    name: `[${logits}]`,
    attributes: {},
    // Small integers have many equal maxima.
    inputs: (make) => [make.float(logits), make.whole([logits[0] as number], 0, logits[1] as number)],
    agreement: same,
  })),
};
