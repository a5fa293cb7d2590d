import { checkOptions, flag } from '../geometry/options.js';
import type { Tensor } from '../tensor.js';
import { axisOf } from './internal/axis.js';
import { operand, sameFloats } from './internal/check.js';
import { withShape } from './internal/shapes.js';
import type { Value } from './operator.js';
import { sumTo } from './sum-to.js';

export interface ReduceOptions {
  /** Axes to reduce; negative ones count from the end. Default: all. */
  readonly dims?: number | readonly number[];
  /** Keeps reduced axes as 1. Default false. */
  readonly keepDims?: boolean;
}

/** The axes to reduce as a set of numbers >= 0. @throws FoveaError ERR_OPTION */
export function reducedAxes(operator: string, rank: number, dims: unknown): Set<number> {
  if (dims === undefined || dims === null) return new Set(Array.from({ length: rank }, (_, i) => i));
  const list: readonly unknown[] = Array.isArray(dims) ? dims : [dims];
  return new Set(list.map((dim) => axisOf(operator, 'dims', dim, rank)));
}

/**
 * Sum over axes. Source: PyTorch `torch.sum`.
 * @throws FoveaError ERR_OPTION (dims outside the rank), ERR_DTYPE
 */
export function sum(x: Tensor, options?: ReduceOptions): Tensor;
export function sum(x: Value, options?: ReduceOptions): Value;
export function sum(x: Value, options: ReduceOptions = {}): Value {
  const value = operand('sum', 'x', x);
  sameFloats('sum', { x: value });
  checkOptions('sum', options, ['dims', 'keepDims']);
  const axes = reducedAxes('sum', value.shape.length, options.dims);
  const kept = sumTo(
    value,
    value.shape.map((n, i) => (axes.has(i) ? 1 : n)),
  );
  return flag('sum', 'keepDims', options.keepDims ?? false)
    ? kept
    : withShape(
        kept,
        value.shape.filter((_, i) => !axes.has(i)),
      );
}
