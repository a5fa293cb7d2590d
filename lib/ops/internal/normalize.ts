import { FoveaError } from '../../errors.js';
import { checkOptions, real } from '../../geometry/options.js';
import { formatShape, sizeOf } from '../../tensor.js';
import { apply1, type Maybe, type Operator, touchedBytes, type Value } from '../operator.js';
import { operand, optional, shapeOf, spec } from './check.js';

export interface NormalizeOptions {
  /** Factor before mean and std: 1 / 255 takes bytes to [0, 1]. Default 1. */
  readonly scale?: number;
}

/** Of a source that is larger than its batch only the batch is read. */
export const pixelCost: Operator['cost'] = (_inputs, outputs) => {
  const y = spec(outputs, 0);
  return { flops: 3 * sizeOf(y.shape), bytes: 2 * touchedBytes([y]) };
};

/** x [N,...], mean? [C], std? [C] → float32 [N,...] { scale } */
export const normalizeOperator: Operator = {
  name: 'normalize',
  infer: (inputs) => [{ shape: spec(inputs, 0).shape, dtype: 'float32' }],
  cost: pixelCost,
};

/** What gather and normalize share: the pixels' type, [C] for mean and std, the factor. */
export function checkPixels(operator: string, x: Value, mean: unknown, std: unknown, options: NormalizeOptions) {
  if (x.dtype !== 'uint8' && x.dtype !== 'float32') {
    throw new FoveaError('ERR_DTYPE', operator, `images must be uint8 or float32, got ${x.dtype}`);
  }
  checkOptions(operator, options, ['scale']);
  const perChannel = { mean: optional(operator, 'mean', mean), std: optional(operator, 'std', std) };
  for (const [name, value] of Object.entries(perChannel)) {
    if (!value) continue;
    if (value.dtype !== 'float32')
      throw new FoveaError('ERR_DTYPE', operator, `${name} must be float32, got ${value.dtype}`);
    shapeOf(operator, name, value, [x.shape[1] ?? 1], `, one per channel of ${formatShape(x.shape)}`);
  }
  return { ...perChannel, scale: real(operator, 'scale', options.scale ?? 1, Number.MIN_VALUE, Number.MAX_VALUE) };
}

/** y = (x·scale − mean[c]) / std[c] over a batch [N, C, ...], uint8 or float32, in float32 */
export function normalize(x: Value, mean?: Maybe<Value>, std?: Maybe<Value>, options: NormalizeOptions = {}): Value {
  const images = operand('normalize', 'x', x);
  const { mean: center, std: spread, scale } = checkPixels('normalize', images, mean, std, options);
  return apply1(normalizeOperator, [images, center, spread], { scale });
}
