import { FoveaError } from '../../errors.js';
import { formatShape, sizeOf } from '../../tensor.js';
import { apply1, type Operator, touchedBytes, type Value } from '../operator.js';
import { operand, rankOf, sameFloats, shapeOf, spec } from './check.js';

/** logits [N,C], labels int32 [N] → int32 []: how often the first maximum stands at the label */
export const countCorrectOperator: Operator = {
  name: 'countCorrect',
  infer: () => [{ shape: [], dtype: 'int32' }],
  cost: (inputs, outputs) => ({ flops: sizeOf(spec(inputs, 0).shape), bytes: touchedBytes([...inputs, ...outputs]) }),
};

/**
 * How many predictions are right: the metric `accuracy` before its division.
 * @param logits  [N, C]
 * @param labels  [N], int32
 * @returns       int32 scalar
 * @throws FoveaError ERR_SHAPE, ERR_DTYPE
 */
export function countCorrect(logits: Value, labels: Value): Value {
  const value = operand('countCorrect', 'logits', logits);
  const target = operand('countCorrect', 'labels', labels);
  sameFloats('countCorrect', { logits: value });
  rankOf('countCorrect', 'logits', value, 'N, C');
  if (target.dtype !== 'int32')
    throw new FoveaError('ERR_DTYPE', 'countCorrect', `labels must be int32, got ${target.dtype}`);
  shapeOf(
    'countCorrect',
    'labels',
    target,
    [value.shape[0] as number],
    `, one per row of logits ${formatShape(value.shape)}`,
  );
  return apply1(countCorrectOperator, [value, target]);
}
