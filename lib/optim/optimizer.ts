import type { Attributes } from '../backend/backend.js';
import { FoveaError, show } from '../errors.js';
import { checkOptions } from '../geometry/options.js';
import { apply, type Operator } from '../ops/operator.js';
import { updateInplace } from '../ops/update.js';
import { formatShape, Tensor } from '../tensor.js';
import type { Schedule } from './schedules.js';

/** Overrides for the parameters whose path matches; the first group that matches counts. */
export type Group<H extends string> = { readonly match: RegExp } & { readonly [K in H]?: number };

/** What an optimizer remembers between steps: made by `init` or the first `update`, saved in checkpoints. */
export interface OptimizerState {
  /** Steps done. */
  step: number;
  /** Per kind of state (`momentum`), a tensor for each parameter. */
  readonly slots: Readonly<Record<string, readonly Tensor[]>>;
}

/** Parameters with their paths, as `model.namedParameters()` gives them. */
export type NamedTensors = readonly (readonly [path: string, value: Tensor])[];

/**
 * One update rule over all parameters at once. A subclass names its operator, its states, and the numbers that the
 * rule needs for each parameter.
 */
export abstract class Optimizer {
  /** In `lib/ops/update.ts`. */
  abstract readonly operator: Operator;
  /** Kinds of state, in the order of the operator's operands. */
  abstract readonly slots: readonly string[];
  /** Order of the numbers in the operator's `hyper` operand. */
  protected abstract readonly hyperNames: readonly string[];
  /** Attributes of the operator besides `count`. */
  protected abstract readonly flags: Attributes;

  protected constructor(
    readonly name: string,
    readonly lr: number | Schedule,
    private readonly common: Readonly<Record<string, number>>,
    private readonly groups: readonly { readonly match: RegExp }[],
  ) {
    if (!isSchedule(lr)) checkRange(name, 'lr', lr);
    if (!Array.isArray(groups)) {
      throw new FoveaError('ERR_OPTION', name, `groups must be a list of { match, … }, got ${show(groups)}`);
    }
    for (const group of groups) checkGroup(name, group, ['lr', ...Object.keys(common)]);
  }

  /** The attributes of the update of `count` parameters. */
  attributes(count: number): Attributes {
    return { count, ...this.flags };
  }

  /** States before the first step: zeros. */
  init(parameters: readonly Tensor[]): OptimizerState {
    const zeros = () => parameters.map((parameter) => Tensor.zeros(parameter.shape, parameter.dtype));
    return { step: 0, slots: Object.fromEntries(this.slots.map((slot) => [slot, zeros()])) };
  }

  /** Length of the `hyper` operand. */
  hyperLength(count: number): number {
    return 1 + count * this.hyperNames.length;
  }

  /**
   * Writes the `hyper` operand of a step.
   * @param step  steps done before this one
   */
  writeHyper(hyper: Float64Array, paths: readonly string[], step: number): void {
    const scheduled = typeof this.lr === 'number' ? this.lr : this.lr.lr(step);
    hyper[0] = step + 1;
    paths.forEach((path, i) => {
      const group = this.groups.find(({ match }) => path.search(match) >= 0); // unlike test(), blind to the flag g
      this.hyperNames.forEach((key, j) => {
        const fallback = key === 'lr' ? scheduled : this.common[key];
        hyper[1 + i * this.hyperNames.length + j] = numberOf(group, key) ?? fallback ?? 0;
      });
    });
  }

  /**
   * One step on plain tensors, in place. For programs see `compileStep` and `fit`.
   * @param params  tensors, or tensors by path (groups match the paths; without paths they match '0', '1', …)
   * @param grads   as many, of the same shapes, in the same order
   * @param state   what the last call returned; undefined at first
   * @returns the state to pass next time
   * @throws FoveaError ERR_SHAPE, ERR_DATA, ERR_DTYPE
   */
  update(
    params: readonly Tensor[] | Readonly<Record<string, Tensor>>,
    grads: readonly Tensor[] | Readonly<Record<string, Tensor>>,
    state?: OptimizerState,
  ): OptimizerState {
    for (const [what, tensors] of Object.entries({ params, grads })) {
      if (typeof tensors === 'object' && tensors !== null) continue;
      throw new FoveaError('ERR_DATA', this.name, `${what} must be tensors in a list or by path, got ${show(tensors)}`);
    }
    const paths = Array.isArray(params) ? params.map((_, i) => String(i)) : Object.keys(params);
    const targets: readonly Tensor[] = Array.isArray(params) ? params : Object.values(params);
    const gradients: readonly (Tensor | undefined)[] = Array.isArray(grads)
      ? grads
      : paths.map((path) => (grads as Readonly<Record<string, Tensor>>)[path]);
    const checked = checkPairs(this.name, paths, targets, gradients);
    const now = state ?? this.init(targets);
    checkState(this.name, this.slots, now, targets.length);
    const hyper = new Float64Array(this.hyperLength(targets.length));
    this.writeHyper(hyper, paths, now.step);
    const states = this.slots.flatMap((slot) => now.slots[slot] ?? []);
    const inputs = [new Tensor([hyper.length], hyper), ...targets, ...checked, ...states];
    apply(this.operator, inputs, this.attributes(targets.length), updateInplace(inputs.length, targets.length));
    return { step: now.step + 1, slots: now.slots };
  }
}

function numberOf(group: object | undefined, key: string): number | undefined {
  const value: unknown = group && Reflect.get(group, key);
  return typeof value === 'number' ? value : undefined;
}

function checkPairs(
  name: string,
  paths: readonly string[],
  params: readonly Tensor[],
  grads: readonly (Tensor | undefined)[],
): Tensor[] {
  if (params.length === 0 || grads.length !== params.length) {
    throw new FoveaError('ERR_DATA', name, `${params.length} parameters and ${grads.length} gradients`);
  }
  return params.map((param, i) => {
    const grad = grads[i];
    if (!(param instanceof Tensor)) {
      throw new FoveaError('ERR_DATA', name, `parameter ${paths[i]} must be a Tensor, got ${show(param)}`);
    }
    if (!(grad instanceof Tensor) || formatShape(grad.shape) !== formatShape(param.shape)) {
      const got = grad instanceof Tensor ? formatShape(grad.shape) : show(grad);
      throw new FoveaError(
        'ERR_SHAPE',
        name,
        `parameter ${paths[i]} is ${formatShape(param.shape)}, its gradient is ${got}`,
      );
    }
    const floats = param.dtype === 'float32' || param.dtype === 'float64';
    if (!floats || grad.dtype !== param.dtype) {
      const detail = `parameter ${paths[i]} is ${param.dtype}, its gradient ${grad.dtype}; both float32 or both float64`;
      throw new FoveaError('ERR_DTYPE', name, detail);
    }
    return grad;
  });
}

/** @throws FoveaError ERR_DATA unless it is what `init` or the last `update` of such an optimizer gave */
function checkState(name: string, slots: readonly string[], state: OptimizerState, count: number): void {
  const found = slots.filter((slot) => state.slots?.[slot]?.length === count);
  if (Number.isSafeInteger(state.step) && state.step >= 0 && found.length === slots.length) return;
  const expected = `a step and ${slots.join(', ') || 'no tensors'} for ${count} parameters`;
  throw new FoveaError(
    'ERR_DATA',
    name,
    `the state is not one of this optimizer: expected ${expected}, got ${show(state)}`,
  );
}

function isSchedule(lr: unknown): lr is Schedule {
  return typeof lr === 'object' && lr !== null && 'lr' in lr && typeof lr.lr === 'function';
}

/** @throws FoveaError ERR_OPTION */
function checkGroup(name: string, group: unknown, keys: readonly string[]): void {
  checkOptions(name, group, ['match', ...keys]);
  const { match, ...numbers } = group as { readonly match: unknown } & Readonly<Record<string, number>>;
  if (!(match instanceof RegExp)) {
    const detail = `each group needs match, a regular expression over parameter paths, got ${show(match)}`;
    throw new FoveaError('ERR_OPTION', name, detail);
  }
  for (const [key, value] of Object.entries(numbers)) checkRange(name, `groups.${key}`, value);
}

/** @throws FoveaError ERR_OPTION unless 0 <= value, finite, and below `limit` where there is one */
export function checkRange(optimizer: string, key: string, value: number, limit = Number.POSITIVE_INFINITY): void {
  if (typeof value !== 'number' || !(value >= 0 && value < limit)) {
    const range = Number.isFinite(limit) ? `in [0, ${limit})` : 'a finite number >= 0';
    throw new FoveaError('ERR_OPTION', optimizer, `${key} must be ${range}, got ${show(value)}`);
  }
}
