import { FoveaError } from '../errors.js';
import { checkOptions } from '../geometry/options.js';
import { formatShape, sizeOf, type Tensor } from '../tensor.js';
import { axisOf } from './internal/axis.js';
import { operand } from './internal/check.js';
import type { Value } from './operator.js';
import { reshape } from './reshape.js';

export interface FlattenOptions {
  /** First axis to join; negative ones count from the end. Default 0, as `torch.flatten`; 1 keeps the batch. */
  readonly startDim?: number;
  /** Last axis to join. Default −1: the last. */
  readonly endDim?: number;
}

/**
 * Joins the axes `startDim` … `endDim` into one; a scalar becomes [1]. Source: PyTorch `torch.flatten`.
 * @param options  startDim = 0, endDim = −1
 * @throws FoveaError ERR_OPTION (axes outside the rank, or in the wrong order), ERR_DTYPE, ERR_DATA
 */
export function flatten(x: Tensor, options?: FlattenOptions): Tensor;
export function flatten(x: Value, options?: FlattenOptions): Value;
export function flatten(x: Value, options: FlattenOptions = {}): Value {
  const value = operand('flatten', 'x', x);
  checkOptions('flatten', options, ['startDim', 'endDim']);
  const shape = value.shape.length === 0 ? [1] : value.shape;
  const start = axisOf('flatten', 'startDim', options.startDim ?? 0, shape.length);
  const end = axisOf('flatten', 'endDim', options.endDim ?? -1, shape.length);
  if (start > end) {
    throw new FoveaError(
      'ERR_OPTION',
      'flatten',
      `startDim ${start} comes after endDim ${end} (x ${formatShape(value.shape)})`,
    );
  }
  return reshape(value, [...shape.slice(0, start), sizeOf(shape.slice(start, end + 1)), ...shape.slice(end + 1)]);
}
