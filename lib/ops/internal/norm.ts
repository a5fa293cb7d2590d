import type { Spec } from '../../backend/backend.js';
import { sizeOf } from '../../tensor.js';
import { apply, type GradientContext, type Operator, touchedBytes, type Value } from '../operator.js';
import { spec } from './check.js';
import { maskSpec } from './mask.js';

/** Passes over the elements of x, multiplications and additions each. */
function cost(flopsPerElement: number): Operator['cost'] {
  return (inputs, outputs) => ({
    flops: flopsPerElement * sizeOf(spec(outputs, 0).shape),
    bytes: touchedBytes([...inputs, ...outputs]),
  });
}

/** [C] in the type of x. */
function channels({ shape, dtype }: Spec): Spec {
  return { shape: [shape[1] as number], dtype };
}

/**
 * x, weight?, bias?, runningMean?, runningVar?, residual?, mean?, variance? → y, mean, invStd, newRunningMean?,
 * newRunningVar?, mask? { eps, momentum, activation, withMask? }: y = act((x − mean)·invStd·weight + bias + residual).
 * Mean and (biased) variance of x are given when the convolution that made x has computed them; the mask holds the bits of
 * y > 0 (mask.ts).
 */
export const batchNormTrainOperator: Operator = {
  name: 'batchNormTrain',
  infer(inputs, { withMask }) {
    const x = spec(inputs, 0);
    const c = channels(x);
    return [x, c, c, inputs[3] ? c : null, inputs[4] ? c : null, withMask ? maskSpec(x) : null];
  },
  gradient({ inputs, outputs, gradOutputs, attributes, wanted }) {
    const [y, mean, invStd] = outputs;
    if (!gradOutputs[0]) return inputs.map(() => null); // statistics are read, never differentiated
    const { activation } = attributes;
    return backward(batchNormTrainBackwardOperator, { inputs, gradOutputs, wanted }, [y, mean, invStd], {
      activation: activation as string,
    });
  },
  cost: cost(7),
};

/** x, weight?, bias?, runningMean, runningVar, residual? → y { eps, activation } */
export const batchNormInferOperator: Operator = {
  name: 'batchNormInfer',
  infer: (inputs) => [spec(inputs, 0)],
  gradient({ inputs, outputs, gradOutputs, attributes, wanted }) {
    const { eps, activation } = attributes;
    const statistics = [outputs[0], inputs[3], inputs[4]];
    return backward(batchNormInferBackwardOperator, { inputs, gradOutputs, wanted }, statistics, {
      eps: eps as number,
      activation: activation as string,
    });
  },
  cost: cost(2),
};

/** Gradients in the order of the forward inputs; the running statistics take none. */
function backward(
  operator: Operator,
  { inputs, gradOutputs, wanted }: Pick<GradientContext, 'inputs' | 'gradOutputs' | 'wanted'>,
  [y, center, spread]: readonly (Value | null | undefined)[],
  attributes: { eps?: number; activation: string },
): (Value | null)[] {
  // Without an activation the residual's gradient is dy itself: nothing has to be written.
  const masked = attributes.activation !== 'none';
  const [dx = null, dweight = null, dbias = null, dresidual = null] = apply(
    operator,
    [gradOutputs[0], inputs[0], attributes.activation === 'relu' ? y : null, inputs[1], center, spread],
    {
      ...attributes,
      withWeight: wanted[1] === true,
      withBias: wanted[2] === true,
      withResidual: masked && wanted[5] === true,
    },
  );
  return [dx, dweight, dbias, null, null, masked || !wanted[5] ? dresidual : (gradOutputs[0] as Value)];
}

function inferBackward(
  inputs: readonly (Spec | null)[],
  { withWeight, withBias, withResidual }: Parameters<Operator['infer']>[1],
) {
  const x = spec(inputs, 1);
  return [x, withWeight ? channels(x) : null, withBias ? channels(x) : null, withResidual ? x : null];
}

/**
 * dy, x, y? (with relu), weight?, mean, invStd, sums? [2,C] → dx, dweight?, dbias?, dresidual?
 * { activation, withWeight, withBias, withResidual }. sums: Σ dy and Σ dy·(x − mean), known to the convolution that made dy.
 */
export const batchNormTrainBackwardOperator: Operator = {
  name: 'batchNormTrainBackward',
  infer: inferBackward,
  cost: cost(11),
};

/** dy, x, y? (with relu), weight?, runningMean, runningVar → dx, dweight?, dbias?, dresidual? { eps, and as above } */
export const batchNormInferBackwardOperator: Operator = {
  name: 'batchNormInferBackward',
  infer: inferBackward,
  cost: cost(5),
};
