import type { Attributes } from '../../../lib/backend/backend.js';
import { type Case, type Cases, largest } from './case.js';

// Parameters of several sizes in one call, one of them longer than any task.
const shapes: readonly (readonly number[])[] = [[1], [3, 5], [17], [40, 33, 3, 3]];
const count = shapes.length;

function update(
  name: string,
  attributes: Attributes,
  kinds: number,
  step: number,
  numbers: (parameter: number) => number[],
): Case {
  return {
    name: `${name}, step ${step}`,
    attributes: { count, ...attributes },
    inputs: (make) => {
      const hyper = make.hyper([step, ...shapes.flatMap((_, k) => numbers(k))]);
      const floats = [shapes, shapes].flat().map((shape) => make.float(shape));
      // First moments have any sign, second moments have not; both are 0 before the first step.
      const states = Array.from({ length: kinds }, (_, kind) =>
        shapes.map((shape) => {
          const state = kind === 0 ? make.float(shape) : make.positive(shape);
          if (step === 1) state.data.fill(0);
          return state;
        }),
      );
      return [hyper, ...floats, ...states.flat()];
    },
    inplace: [...shapes.map((_, i) => 1 + i), ...Array.from({ length: kinds * count }, (_, i) => 1 + 2 * count + i)],
    // Fewer than ten operations in a row, each rounded, on numbers no larger than these.
    agreement: {
      kind: 'near',
      ulps: 4,
      scale: (inputs, outputs) => outputs.map(() => 2 * largest(...inputs.slice(1))),
    },
  };
}

const sgd = (
  name: string,
  numbers: readonly number[],
  flags: { nesterov?: boolean; maximize?: boolean } = {},
): Case[] =>
  [1, 2].map((step) => {
    const momentum = numbers[1] !== 0;
    const { nesterov = false, maximize = false } = flags;
    return update(name, { momentum, nesterov, maximize }, momentum ? 1 : 0, step, (k) =>
      numbers.map((n, j) => (j === 0 ? n * (k + 1) : n)),
    );
  });

const adam = (
  name: string,
  numbers: readonly number[],
  flags: { decoupled?: boolean; maximize?: boolean } = {},
): Case[] =>
  [1, 2, 1000].map((step) => {
    const { decoupled = false, maximize = false } = flags;
    return update(name, { decoupled, maximize }, 2, step, (k) => numbers.map((n, j) => (j === 0 ? n * (k + 1) : n)));
  });

export const updateCases: Cases = {
  sgdUpdate: [
    ...sgd('plain', [0.1, 0, 0, 0]),
    ...sgd('weight decay, maximize', [0.1, 0, 0, 0.05], { maximize: true }),
    ...sgd('momentum', [0.05, 0.9, 0, 0]),
    ...sgd('momentum, dampening, weight decay', [0.05, 0.8, 0.3, 0.01]),
    ...sgd('nesterov', [0.05, 0.9, 0, 0.01], { nesterov: true }),
  ],
  adamUpdate: [
    ...adam('adam', [1e-3, 0.9, 0.999, 1e-8, 0]),
    ...adam('adam, weight decay, maximize', [1e-2, 0.8, 0.95, 1e-6, 0.1], { maximize: true }),
    ...adam('adamw', [1e-2, 0.9, 0.999, 1e-8, 0.2], { decoupled: true }),
  ],
};
