import type { Spec } from '../backend/backend.js';
import type { Normalization } from '../data/dataset.js';
import { FoveaError } from '../errors.js';
import { checkBatchShape, checkOptions, choice } from '../geometry/options.js';
import type { Executable } from '../graph/executable.js';
import { checkModule, type Module } from '../nn/module.js';
import { normalize } from '../ops/internal/normalize.js';
import type { Value } from '../ops/operator.js';
import type { Optimizer } from '../optim/optimizer.js';
import { type DType, dtypeOf, formatShape, sizeOf, Tensor, type TypedArray } from '../tensor.js';
import { checkJob, checkLoss, checkOptimizer, checkWhole, type JobOptions } from './options.js';
import { type Loss, type StepResult, Trainer } from './trainer.js';

export interface CompileStepOptions extends JobOptions {
  /** Shape of a batch, [N, C, H, W] for images. */
  readonly inputShape: readonly number[];
  readonly loss: Loss;
  readonly optimizer: Optimizer;
  /** 'uint8' when pixels are handed over as bytes. Default 'float32'. */
  readonly inputType?: 'float32' | 'uint8';
  /** Applied natively to the input. Default for bytes: divided by 255. */
  readonly normalization?: Normalization;
  /** What dropout layers without a seed of their own draw from. Default 0. */
  readonly seed?: number;
}

/** A training step for one batch shape, compiled. */
export interface CompiledStep {
  /**
   * Forward, loss, backward and update of the model's parameters, in one native call off the event loop.
   * @param x  as many elements as `inputShape` says; read until the promise settles
   * @param y  one whole number for each sample, in an array of any type
   * @throws FoveaError (rejects) ERR_SHAPE, ERR_DTYPE, ERR_DATA, ERR_BUSY while a step is running, ERR_DISPOSED
   */
  step(x: Tensor | TypedArray, y: Tensor | TypedArray): Promise<StepResult>;
  /** The passes of the program, as text. */
  explain(): string;
  /** Milliseconds per pass of the last step. */
  profile(): ReturnType<Executable['profile']>;
  /** Frees the native memory. The model keeps its parameters. */
  dispose(): void;
}

const optionNames = ['inputShape', 'loss', 'optimizer', 'inputType', 'normalization', 'seed', 'precision', 'threads'];

/**
 * Compiles one training step of a model: for loops of one's own and for benchmarks; `fit` does the rest of a training.
 * The model is traced in training mode; its parameters are updated where they lie.
 * @throws FoveaError ERR_OPTION, ERR_SHAPE, ERR_GRAPH
 */
export function compileStep(model: Module, options: CompileStepOptions): CompiledStep {
  checkModule('compileStep', 'model', model);
  checkOptions('compileStep', options, optionNames);
  checkJob('compileStep', options);
  const { inputShape, loss, optimizer, seed = 0 } = options;
  checkBatchShape('compileStep', inputShape);
  checkLoss('compileStep', loss);
  checkOptimizer('compileStep', optimizer);
  const inputType = choice('compileStep', 'inputType', options.inputType ?? 'float32', ['float32', 'uint8']);
  checkWhole('compileStep', 'seed', seed, 0);
  const batch = inputShape[0] ?? 0;
  const specs = [
    { shape: inputShape, dtype: inputType },
    { shape: [batch], dtype: 'int32' },
  ] as const;
  const normalization =
    options.normalization ?? (inputType === 'uint8' ? { scale: 1 / 255, mean: [], std: [] } : undefined);
  const read = ([x, labels]: readonly Value[]) => ({
    x: normalized(x as Value, normalization),
    labels: labels as Value,
  });
  const trainer = new Trainer(model, loss, optimizer, options, optimizer.init(model.parameters()), seed);
  const program = trainer.compile({ specs, read });
  return {
    step: async (x, y) => trainer.step(program, [operand('x', x, specs[0]), operand('y', integers(y), specs[1])]),
    explain: () => program.explain(),
    profile: () => program.profile(),
    dispose: () => trainer.dispose(),
  };
}

function normalized(x: Value, normalization: Normalization | undefined): Value {
  if (!normalization) return x;
  const { scale = 1, mean = [], std = [] } = normalization;
  const constants = (values: readonly number[]) =>
    values.length > 0 ? new Tensor([values.length], Float32Array.from(values)) : undefined;
  return normalize(x, constants(mean), constants(std), { scale });
}

/** Labels as bytes or floats are common; there are few, so converting them costs nothing. @throws FoveaError ERR_DATA */
function integers(y: Tensor | TypedArray): TypedArray {
  const array = y instanceof Tensor ? y.data : y;
  if (dtypeOf(array, 'step') === 'int32') return array;
  const i = array.findIndex((label: number) => (label | 0) !== label);
  if (i < 0) return Int32Array.from(array);
  throw new FoveaError('ERR_DATA', 'step', `label ${array[i]} at index ${i} is no whole number of 32 bits`);
}

/** @throws FoveaError ERR_SHAPE, ERR_DTYPE with both sides */
export function operand(name: string, value: Tensor | TypedArray, spec: Spec, operator = 'step'): TypedArray {
  const array = value instanceof Tensor ? value.data : value;
  const dtype: DType = dtypeOf(array, operator);
  if (dtype !== spec.dtype) {
    throw new FoveaError('ERR_DTYPE', operator, `${name} must be ${spec.dtype}, got ${dtype}`);
  }
  if (array.length !== sizeOf(spec.shape)) {
    const detail = `${name} must have ${formatShape(spec.shape)} = ${sizeOf(spec.shape)} elements, got ${array.length}`;
    throw new FoveaError('ERR_SHAPE', operator, detail);
  }
  return array;
}
