import { FoveaError, show } from '../errors.js';
import { checkOptions } from '../geometry/options.js';

/** A learning rate for each step: a pure function, so a run that goes on from a checkpoint needs no state for it. */
export interface Schedule {
  /** @param step  optimizer steps done so far, 0 for the first */
  lr(step: number): number;
}

/** @throws FoveaError ERR_OPTION for numbers below 0, and for names that are not in `known` */
function check(
  name: string,
  given: object,
  numbers: Readonly<Record<string, number>>,
  known: readonly string[] = [],
): void {
  checkOptions(`schedules.${name}`, given, [...Object.keys(numbers), ...known]);
  for (const [key, value] of Object.entries(numbers)) {
    if (Number.isFinite(value) && value >= 0) continue;
    throw new FoveaError('ERR_OPTION', `schedules.${name}`, `${key} must be a finite number >= 0, got ${show(value)}`);
  }
}

/** The same rate always. */
export function constant(lr: number): Schedule {
  check('constant', { lr }, { lr });
  return { lr: () => lr };
}

/** Multiplies by `gamma` (default 0.1) every `every` steps. As torch StepLR. */
export function step(options: { lr: number; every: number; gamma?: number }): Schedule {
  const { lr, every, gamma = 0.1 } = options ?? {};
  check('step', options, { lr, every, gamma });
  if (every < 1) throw new FoveaError('ERR_OPTION', 'schedules.step', `every must be at least 1 step, got ${every}`);
  return { lr: (n) => lr * gamma ** Math.floor(n / every) };
}

/** Multiplies by `gamma` (default 0.1) at each of the `milestones`, in steps. As torch MultiStepLR. */
export function multiStep(options: { lr: number; milestones: readonly number[]; gamma?: number }): Schedule {
  const { lr, milestones, gamma = 0.1 } = options ?? {};
  check('multiStep', options, { lr, gamma }, ['milestones']);
  if (!Array.isArray(milestones) || !milestones.every((milestone) => Number.isFinite(milestone))) {
    const detail = `milestones must be a list of step numbers, got ${show(milestones)}`;
    throw new FoveaError('ERR_OPTION', 'schedules.multiStep', detail);
  }
  return { lr: (n) => lr * gamma ** milestones.filter((milestone) => milestone <= n).length };
}

/** Multiplies by `gamma` at every step. As torch ExponentialLR. */
export function exponential(options: { lr: number; gamma: number }): Schedule {
  const { lr, gamma } = options ?? {};
  check('exponential', options, { lr, gamma });
  return { lr: (n) => lr * gamma ** n };
}

/** Half a cosine from `lr` down to `minLr` (default 0) over `steps` steps (Loshchilov and Hutter 2017), then flat. */
export function cosine(options: { lr: number; steps: number; minLr?: number }): Schedule {
  const { lr, steps, minLr = 0 } = options ?? {};
  check('cosine', options, { lr, steps, minLr });
  return { lr: (n) => minLr + ((lr - minLr) * (1 + Math.cos(Math.PI * share(n, steps)))) / 2 };
}

/** A straight line from `lr` to `endLr` (default 0) over `steps` steps, then flat. */
export function linear(options: { lr: number; steps: number; endLr?: number }): Schedule {
  const { lr, steps, endLr = 0 } = options ?? {};
  check('linear', options, { lr, steps, endLr });
  return { lr: (n) => lr + (endLr - lr) * share(n, steps) };
}

/** lr · (1 − n / steps)^power, power 1 by default. As torch PolynomialLR. */
export function polynomial(options: { lr: number; steps: number; power?: number }): Schedule {
  const { lr, steps, power = 1 } = options ?? {};
  check('polynomial', options, { lr, steps, power });
  return { lr: (n) => lr * (1 - share(n, steps)) ** power };
}

/**
 * Up from lr / divFactor to `lr` and down to lr / divFactor / finalDivFactor, both along half a cosine (Smith and
 * Topin 2018). As torch OneCycleLR with its defaults: `upShare` 0.3, `divFactor` 25, `finalDivFactor` 1e4.
 */
export function oneCycle(options: {
  lr: number;
  steps: number;
  upShare?: number;
  divFactor?: number;
  finalDivFactor?: number;
}): Schedule {
  const { lr, steps, upShare = 0.3, divFactor = 25, finalDivFactor = 1e4 } = options ?? {};
  check('oneCycle', options, { lr, steps, upShare, divFactor, finalDivFactor });
  const top = upShare * steps - 1;
  const start = lr / divFactor;
  const bend = (from: number, to: number, x: number) => to + ((from - to) * (1 + Math.cos(Math.PI * x))) / 2;
  return {
    lr: (n) =>
      n <= top
        ? bend(start, lr, n / Math.max(top, 1))
        : bend(lr, start / finalDivFactor, share(n - top, Math.max(steps - 1 - top, 1))),
  };
}

/** Rises in a straight line from 0 over the first `steps` steps, then follows `after`, counted from there. */
export function warmup(options: { steps: number; after: Schedule }): Schedule {
  const { steps, after } = options ?? {};
  check('warmup', options, { steps }, ['after']);
  if (typeof after?.lr !== 'function') {
    throw new FoveaError('ERR_OPTION', 'schedules.warmup', `after must be a schedule, got ${show(after)}`);
  }
  return { lr: (n) => (n < steps ? (after.lr(0) * (n + 1)) / (steps + 1) : after.lr(n - steps)) };
}

const share = (n: number, steps: number) => Math.min(Math.max(n / Math.max(steps, 1), 0), 1);
