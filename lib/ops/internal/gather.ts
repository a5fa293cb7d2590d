import { FoveaError } from '../../errors.js';
import { apply1, type Maybe, type Operator, type Value } from '../operator.js';
import { operand, rankOf, spec } from './check.js';
import { checkPixels, type NormalizeOptions, pixelCost } from './normalize.js';

// How a batch comes into a program: gathered from the data set, converted from uint8 and normalised in one pass.

/** source [T,...], indices [N], mean? [C], std? [C] → float32 [N,...] { scale } */
export const gatherOperator: Operator = {
  name: 'gather',
  infer: (inputs) => [{ shape: [...spec(inputs, 1).shape, ...spec(inputs, 0).shape.slice(1)], dtype: 'float32' }],
  cost: pixelCost,
};

/** labels int32 [T], indices [N] → int32 [N] */
export const gatherLabelsOperator: Operator = {
  name: 'gatherLabels',
  infer: (inputs) => [{ shape: spec(inputs, 1).shape, dtype: 'int32' }],
  cost: pixelCost,
};

function checkIndices(operator: string, indices: unknown): Value {
  const value = operand(operator, 'indices', indices);
  if (value.dtype !== 'int32') throw new FoveaError('ERR_DTYPE', operator, `indices must be int32, got ${value.dtype}`);
  rankOf(operator, 'indices', value, 'N');
  return value;
}

/**
 * y[n] = (source[indices[n]]·scale − mean[c]) / std[c]; indices are checked where they are read: ERR_DATA.
 * @param source   [T, C, ...], uint8 or float32
 * @param indices  [N], int32
 * @param mean     [C], float32; absent means 0
 * @param std      [C], float32; absent means 1
 * @returns        [N, C, ...], float32
 */
export function gather(
  source: Value,
  indices: Value,
  mean?: Maybe<Value>,
  std?: Maybe<Value>,
  options: NormalizeOptions = {},
): Value {
  const images = operand('gather', 'source', source);
  const { mean: center, std: spread, scale } = checkPixels('gather', images, mean, std, options);
  return apply1(gatherOperator, [images, checkIndices('gather', indices), center, spread], { scale });
}

/** labels[indices[n]]: [T], [N] → [N], all int32 */
export function gatherLabels(labels: Value, indices: Value): Value {
  const value = operand('gatherLabels', 'labels', labels);
  if (value.dtype !== 'int32')
    throw new FoveaError('ERR_DTYPE', 'gatherLabels', `labels must be int32, got ${value.dtype}`);
  rankOf('gatherLabels', 'labels', value, 'T');
  return apply1(gatherLabelsOperator, [value, checkIndices('gatherLabels', indices)]);
}
