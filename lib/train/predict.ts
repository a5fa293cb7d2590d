import { FoveaError, show } from '../errors.js';
import { checkOptions } from '../geometry/options.js';
import { checkModule, type Module } from '../nn/module.js';
import { allocate, formatShape, sizeOf, Tensor } from '../tensor.js';
import { compileForward } from './compile-forward.js';
import { checkJob, checkWhole, type JobOptions } from './options.js';

export interface PredictOptions extends JobOptions {
  /** Samples per call of the program. Default 256. */
  readonly batchSize?: number;
}

/**
 * The model's output for a batch of any size, in evaluation mode. Its parameters must not change meanwhile. For a service that predicts often, `compileForward`
 * once is faster.
 * @param x  float32 [N, ...]
 * @returns  [N, ...]
 * @throws FoveaError (rejects) ERR_SHAPE, ERR_DTYPE, ERR_OPTION
 */
export async function predict(model: Module, x: Tensor, options: PredictOptions = {}): Promise<Tensor> {
  checkModule('predict', 'model', model);
  checkOptions('predict', options, ['batchSize', 'precision', 'threads']);
  checkJob('predict', options);
  const { batchSize = 256, ...job } = options;
  checkWhole('predict', 'batchSize', batchSize, 1);
  if (!(x instanceof Tensor)) {
    throw new FoveaError('ERR_DTYPE', 'predict', `x must be a Tensor [N, ...], got ${show(x)}`);
  }
  const [count = 0, ...sample] = x.shape;
  if (count < 1)
    throw new FoveaError('ERR_SHAPE', 'predict', `x must be a batch [N, ...], got ${formatShape(x.shape)}`);
  const pieces: Tensor[] = [];
  for (const [size, starts] of chunks(count, batchSize)) {
    const forward = compileForward(model, { ...job, inputShape: [size, ...sample], frozen: true });
    try {
      for (const start of starts) {
        pieces.push(await forward.run(x.data.subarray(start * sizeOf(sample), (start + size) * sizeOf(sample))));
      }
    } finally {
      forward.dispose();
    }
  }
  return concatenate(pieces, count);
}

/** Whole batches, then the rest: each size with the samples where its batches start. */
function chunks(count: number, batchSize: number): [size: number, starts: number[]][] {
  const whole = Math.floor(count / batchSize);
  const rest = count - whole * batchSize;
  const parts: [number, number[]][] = [];
  if (whole > 0) parts.push([batchSize, Array.from({ length: whole }, (_, i) => i * batchSize)]);
  if (rest > 0) parts.push([rest, [whole * batchSize]]);
  return parts;
}

function concatenate(pieces: readonly Tensor[], count: number): Tensor {
  const [first] = pieces;
  if (!first) throw new FoveaError('ERR_SHAPE', 'predict', 'the model gave no output');
  const shape = [count, ...first.shape.slice(1)];
  const data = allocate(first.dtype, sizeOf(shape), 'predict');
  let offset = 0;
  for (const piece of pieces) {
    data.set(piece.data, offset);
    offset += piece.size;
  }
  return new Tensor(shape, data);
}
