import { FoveaError } from '../errors.js';
import { checkOptions, flag, real } from '../geometry/options.js';
import { checkNotEmpty } from '../geometry/window.js';
import { formatShape, Tensor } from '../tensor.js';
import { operand, optional, sameFloats, shapeOf } from './internal/check.js';
import { batchNormInferOperator, batchNormTrainOperator } from './internal/norm.js';
import { apply, apply1, type Maybe, Traced, type Value } from './operator.js';

export interface BatchNormOptions<T extends Value = Value> {
  /** [C]; needed in inference, updated in place in training. */
  readonly runningMean?: Maybe<T>;
  /** [C]; needed in inference, updated in place in training (by the unbiased variance). */
  readonly runningVar?: Maybe<T>;
  /** Normalises by the statistics of the batch, not by the running ones. Default false. */
  readonly training?: boolean;
  /** Share of the new batch in the running statistics. Default 0.1. */
  readonly momentum?: number;
  /** Added to the variance before the root. Default 1e-5. */
  readonly eps?: number;
}

const optionNames = ['runningMean', 'runningVar', 'training', 'momentum', 'eps'];

/**
 * y = (x − mean) / √(variance + eps) · weight + bias per channel. In training, mean and (biased) variance are those of the batch
 * over all axes but the second, and running ← (1 − momentum)·running + momentum·(mean, unbiased variance), in place; in a
 * traced function that happens at the end of each run. In inference they are runningMean and runningVar.
 * Sources: Ioffe & Szegedy 2015; PyTorch `torch.nn.functional.batch_norm`.
 * @param x        [N, C], [N, C, L] or [N, C, H, W], float32 or float64
 * @param weight   [C]; absent means 1
 * @param bias     [C]; absent means 0
 * @param options  runningMean, runningVar, training = false, momentum = 0.1, eps = 1e-5
 * @returns        the shape of x
 * @throws FoveaError ERR_SHAPE (rank, channels, one value per channel in training), ERR_OPTION, ERR_DTYPE, ERR_DATA
 */
export function batchNorm(
  x: Tensor,
  weight?: Maybe<Tensor>,
  bias?: Maybe<Tensor>,
  options?: BatchNormOptions<Tensor>,
): Tensor;
export function batchNorm(x: Value, weight?: Maybe<Value>, bias?: Maybe<Value>, options?: BatchNormOptions): Value;
export function batchNorm(x: Value, weight?: Maybe<Value>, bias?: Maybe<Value>, options: BatchNormOptions = {}): Value {
  const name = 'batchNorm';
  checkOptions(name, options, optionNames);
  const value = operand(name, 'x', x);
  const perChannel = {
    weight: optional(name, 'weight', weight),
    bias: optional(name, 'bias', bias),
    runningMean: optional(name, 'runningMean', options.runningMean),
    runningVar: optional(name, 'runningVar', options.runningVar),
  };
  checkShapes(value, perChannel);
  const eps = real(name, 'eps', options.eps ?? 1e-5, 0, Number.POSITIVE_INFINITY);
  const momentum = real(name, 'momentum', options.momentum ?? 0.1, 0, 1);
  const { runningMean, runningVar } = perChannel;
  const inputs = [value, perChannel.weight, perChannel.bias, runningMean, runningVar, null];
  if (flag(name, 'training', options.training ?? false)) return train(inputs, { eps, momentum, activation: 'none' });
  if (!runningMean || !runningVar) {
    throw new FoveaError(
      'ERR_OPTION',
      name,
      'inference needs runningMean and runningVar; { training: true } takes the statistics of the batch',
    );
  }
  return apply1(batchNormInferOperator, inputs, { eps, activation: 'none' });
}

function checkShapes(x: Value, perChannel: Readonly<Record<string, Value | null>>): void {
  sameFloats('batchNorm', { x, ...perChannel });
  const rank = x.shape.length;
  if (rank < 2 || rank > 4) {
    throw new FoveaError(
      'ERR_SHAPE',
      'batchNorm',
      `x must be [N, C], [N, C, L] or [N, C, H, W], got ${formatShape(x.shape)} (rank ${rank})`,
    );
  }
  checkNotEmpty('batchNorm', 'x', x.shape, 1);
  for (const [name, value] of Object.entries(perChannel)) {
    shapeOf('batchNorm', name, value, [x.shape[1] as number], `, one per channel of x ${formatShape(x.shape)}`);
  }
}

function train(
  inputs: readonly (Value | null)[],
  attributes: { eps: number; momentum: number; activation: 'none' },
): Value {
  const x = inputs[0] as Value;
  const count = x.size / (x.shape[1] as number);
  if (count <= 1) {
    throw new FoveaError(
      'ERR_SHAPE',
      'batchNorm',
      `training needs more than one value per channel, x ${formatShape(x.shape)} has ${count}`,
    );
  }
  const running = inputs.slice(3, 5);
  if (running.some((value) => value instanceof Traced)) {
    throw new FoveaError(
      'ERR_OPTION',
      'batchNorm',
      'training updates runningMean and runningVar in place, so they must be tensors, not traced values',
    );
  }
  const [y, , , ...updated] = apply(batchNormTrainOperator, inputs, attributes);
  running.forEach((target, i) => {
    const value = updated[i];
    if (!(target instanceof Tensor) || !value) return;
    if (value instanceof Traced) value.recorder.assign(target, value);
    else target.data.set(value.data);
  });
  return y as Value;
}
