import type { Attributes, Spec } from '../backend/backend.js';
import { sizeOf } from '../tensor.js';
import { type Operator, touchedBytes } from './operator.js';

// Optimizer updates run in place over all parameters in one call. Operands, n = attributes.count:
//   inputs   hyper, n parameters, n gradients, then n of each kind of state
//   outputs  the parameters and the states again: the same memory
// hyper is float64 [step, then for each parameter its numbers], since PyTorch computes scalars in double precision.

/** Numbers per parameter in `hyper`. */
export const sgdHyper = ['lr', 'momentum', 'dampening', 'weightDecay'] as const;
/** Numbers per parameter in `hyper`. */
export const adamHyper = ['lr', 'beta1', 'beta2', 'eps', 'weightDecay'] as const;

/** Parameters and states, in the order of the inputs that they overwrite. */
function updated(inputs: readonly (Spec | null)[], attributes: Attributes): (Spec | null)[] {
  const count = attributes.count as number;
  return [...inputs.slice(1, 1 + count), ...inputs.slice(1 + 2 * count)];
}

/** For each output of an update, the input whose memory it is. */
export function updateInplace(inputs: number, count: number): number[] {
  const states = Array.from({ length: inputs - 1 - 2 * count }, (_, i) => 1 + 2 * count + i);
  return [...Array.from({ length: count }, (_, i) => 1 + i), ...states];
}

function cost(flopsPerElement: number) {
  return (inputs: readonly (Spec | null)[], outputs: readonly (Spec | null)[], attributes: Attributes) => {
    const count = attributes.count as number;
    const elements = outputs.slice(0, count).reduce((sum, spec) => sum + (spec ? sizeOf(spec.shape) : 0), 0);
    return { flops: flopsPerElement * elements, bytes: touchedBytes([...inputs, ...outputs]) };
  };
}

/**
 * Stochastic gradient descent, as torch.optim.SGD:
 * g ← ±g + weightDecay·p;  m ← momentum·m + (1 − dampening)·g, but m ← g at step 1;  p ← p − lr·(nesterov ? g + momentum·m : m).
 * Attributes: count, momentum (are there states m?), nesterov, maximize.
 */
export const sgdUpdateOperator: Operator = { name: 'sgdUpdate', infer: updated, cost: cost(6) };

/**
 * Adam (Kingma and Ba 2015) and, decoupled, AdamW (Loshchilov and Hutter 2019), as torch.optim:
 * m ← β₁m + (1 − β₁)g;  v ← β₂v + (1 − β₂)g²;  p ← p − lr/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + eps).
 * Weight decay is added to g, or decoupled: p ← p·(1 − lr·weightDecay) before anything else.
 * Attributes: count, decoupled, maximize.
 */
export const adamUpdateOperator: Operator = { name: 'adamUpdate', infer: updated, cost: cost(14) };
