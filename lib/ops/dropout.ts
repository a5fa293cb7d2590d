import { checkOptions, flag, real } from '../geometry/options.js';
import { checkSeed, sizeOf, type Tensor } from '../tensor.js';
import { operand, sameFloats, spec } from './internal/check.js';
import { apply1, type Operator, touchedBytes, type Value } from './operator.js';

export interface DropoutOptions {
  /** Probability that an element becomes 0. Default 0.5. */
  readonly p?: number;
  /** Which mask: the same seed gives the same one. Default 0. */
  readonly seed?: number;
  /** Without it x comes back as it is. Default true. */
  readonly training?: boolean;
}

/** x → x·mask / (1 − p) { p, seed }; the mask follows from seed, the run's counter and the element's number (Philox4x32-10) */
export const dropoutOperator: Operator = {
  name: 'dropout',
  infer: (inputs) => [spec(inputs, 0)],
  // Same seed and same counter: the same mask.
  gradient: ({ gradOutputs, attributes }) => [apply1(dropoutOperator, [gradOutputs[0]], attributes)],
  cost: (inputs, outputs) => ({ flops: sizeOf(spec(outputs, 0).shape), bytes: touchedBytes([...inputs, ...outputs]) }),
};

/**
 * Sets each element to 0 with probability p and divides the others by 1 − p, so that the expectation stays.
 * A program draws another mask at each run; an eager call draws the one of the seed.
 * Sources: Srivastava et al. 2014; PyTorch `torch.nn.functional.dropout`.
 * @param x        any shape, float32 or float64
 * @param options  p = 0.5, seed = 0, training = true
 * @returns        the shape of x; x itself when p is 0 or training false
 * @throws FoveaError ERR_OPTION (p outside [0, 1], a seed that is no whole number >= 0), ERR_DTYPE, ERR_DATA
 */
export function dropout(x: Tensor, options?: DropoutOptions): Tensor;
export function dropout(x: Value, options?: DropoutOptions): Value;
export function dropout(x: Value, options: DropoutOptions = {}): Value {
  const value = operand('dropout', 'x', x);
  sameFloats('dropout', { x: value });
  checkOptions('dropout', options, ['p', 'seed', 'training']);
  const p = real('dropout', 'p', options.p ?? 0.5, 0, 1);
  const seed = checkSeed('dropout', options.seed ?? 0);
  if (!flag('dropout', 'training', options.training ?? true) || p === 0) return value;
  return apply1(dropoutOperator, [value], { p, seed });
}
