import { FoveaError } from '../../errors.js';
import { checkOptions } from '../../geometry/options.js';
import { checkNotEmpty } from '../../geometry/window.js';
import { sizeOf } from '../../tensor.js';
import { apply1, type Operator, touchedBytes, type Value } from '../operator.js';
import { axisOf } from './axis.js';
import { operand, sameFloats, spec } from './check.js';

export interface SoftmaxOptions {
  /** The axis that sums to 1; negative ones count from the end. Default −1: the last. */
  readonly dim?: number;
}

function cost(flopsPerElement: number): Operator['cost'] {
  return (inputs, outputs) => ({
    flops: flopsPerElement * sizeOf(spec(outputs, 0).shape),
    bytes: touchedBytes([...inputs, ...outputs]),
  });
}

/** x → y { dim }, and dy, y → dx { dim }: an operator pair whose gradient needs the output only. */
function pair(name: string): [forward: Operator, backward: Operator] {
  const backward: Operator = {
    name: `${name}Backward`,
    infer: (inputs) => [spec(inputs, 1)],
    cost: cost(4),
  };
  const forward: Operator = {
    name,
    infer: (inputs) => [spec(inputs, 0)],
    gradient: ({ outputs, gradOutputs, attributes }) => [apply1(backward, [gradOutputs[0], outputs[0]], attributes)],
    cost: cost(5),
  };
  return [forward, backward];
}

/** x → y, and dy, y → dx */
export const [softmaxOperator, softmaxBackwardOperator] = pair('softmax');
export const [logSoftmaxOperator, logSoftmaxBackwardOperator] = pair('logSoftmax');

/** Checks the operands of both and runs one. @throws FoveaError ERR_SHAPE, ERR_OPTION, ERR_DTYPE, ERR_DATA */
export function alongAxis(operator: Operator, x: unknown, options: SoftmaxOptions): Value {
  const { name } = operator;
  const value = operand(name, 'x', x);
  sameFloats(name, { x: value });
  checkOptions(name, options, ['dim']);
  if (value.shape.length === 0) throw new FoveaError('ERR_SHAPE', name, 'x must have at least one axis, got a scalar');
  const dim = axisOf(name, 'dim', options.dim ?? -1, value.shape.length);
  checkNotEmpty(name, 'x', value.shape.slice(dim, dim + 1));
  return apply1(operator, [value], { dim });
}
