import type { Spec } from '../backend/backend.js';
import { FoveaError, show } from '../errors.js';
import { differentiate } from '../graph/differentiate.js';
import { compileGraph, type Executable } from '../graph/executable.js';
import { fuse } from '../graph/fuse.js';
import type { Graph } from '../graph/graph.js';
import { extend, trace } from '../graph/trace.js';
import { BatchNorm1d, BatchNorm2d } from '../nn/batch-norm.js';
import { Dropout } from '../nn/dropout.js';
import type { Module } from '../nn/module.js';
import { countCorrect } from '../ops/internal/count-correct.js';
import { apply, Traced, type Value } from '../ops/operator.js';
import { updateInplace } from '../ops/update.js';
import type { Optimizer, OptimizerState } from '../optim/optimizer.js';
import { Random } from '../random.js';
import { formatShape, Tensor, type TypedArray } from '../tensor.js';
import { compileOptions, type JobOptions } from './options.js';

/** A loss as the operators have it: `ops.crossEntropy`, or a function of one's own that ends in a scalar. */
export type Loss = (output: Value, labels: Value) => Value;

/** What one step gives back. */
export interface StepResult {
  /** Mean over the batch, before the update. */
  readonly loss: number;
  /** How many of the batch were classified rightly, before the update; 0 when outputs are not scores per class. */
  readonly correct: number;
}

/** Which arrays a program takes, and how they become the model's input and labels. */
export interface StepInputs {
  readonly specs: readonly Spec[];
  readonly read: (inputs: readonly Value[]) => { x: Value; labels: Value };
}

/** A model, an optimizer and their state, and the compiled training steps for each kind of batch. */
export class Trainer {
  private readonly steps = new Map<string, Executable>();
  private readonly hyper: Float64Array;
  private readonly paths: readonly string[];
  private readonly parameters: readonly Tensor[];
  private readonly norms: readonly (BatchNorm1d | BatchNorm2d)[];

  /** @throws FoveaError ERR_GRAPH when the model has nothing to train */
  constructor(
    readonly model: Module,
    private readonly loss: Loss,
    readonly optimizer: Optimizer,
    private readonly options: JobOptions,
    readonly state: OptimizerState,
    seed: number,
  ) {
    const named = model.namedParameters();
    if (named.length === 0) throw new FoveaError('ERR_GRAPH', 'fit', 'the model has no parameters to train');
    this.paths = named.map(([path]) => path);
    this.parameters = named.map(([, parameter]) => parameter);
    this.reseed(seed);
    this.hyper = new Float64Array(optimizer.hyperLength(named.length));
    this.norms = [...model.namedModules()].flatMap(([, module]) =>
      module instanceof BatchNorm1d || module instanceof BatchNorm2d ? [module] : [],
    );
  }

  /** Dropout layers draw from the seed of the training, so that it alone, and not how the model was made, decides. */
  private reseed(seed: number): void {
    const dropouts = [...this.model.namedModules()].flatMap(([, module]) =>
      module instanceof Dropout ? [module] : [],
    );
    const random = new Random(seed, 1);
    for (const dropout of dropouts) dropout.reseed(random.bits());
  }

  /** The compiled step for batches of one kind: made at the first call. */
  compile(inputs: StepInputs): Executable {
    const key = JSON.stringify(inputs.specs);
    const known = this.steps.get(key);
    if (known) return known;
    const step = compileGraph(this.trainingGraph(inputs), compileOptions(this.options));
    this.steps.set(key, step);
    return step;
  }

  /** The learning rate of the next step, for parameters in no group. */
  get learningRate(): number {
    const { lr } = this.optimizer;
    return typeof lr === 'number' ? lr : lr.lr(this.state.step);
  }

  /** Forward, loss, backward, update. @throws FoveaError ERR_ABORTED after `cancel`: then nothing was updated */
  async step(step: Executable, arrays: readonly TypedArray[]): Promise<StepResult> {
    this.optimizer.writeHyper(this.hyper, this.paths, this.state.step);
    const [loss, correct] = await step.run(arrays, undefined, this.state.step);
    this.state.step++;
    for (const { batchesTracked } of this.norms) batchesTracked.data[0] = (batchesTracked.data[0] as number) + 1;
    return { loss: loss?.[0] as number, correct: correct?.[0] as number };
  }

  cancel(): void {
    for (const step of this.steps.values()) step.cancel();
  }

  dispose(): void {
    for (const step of this.steps.values()) step.dispose();
    this.steps.clear();
  }

  private trainingGraph(inputs: StepInputs): Graph {
    const forward = fuse(traceLoss(this.model, this.loss, inputs, true));
    const backward = differentiate(forward, { wrt: this.parameters });
    const { optimizer, parameters, state } = this;
    return extend(backward, (_, [loss, correct, ...grads]) => {
      const states = optimizer.slots.flatMap((slot) => state.slots[slot] ?? []);
      const operands = [new Tensor([this.hyper.length], this.hyper), ...parameters, ...grads, ...states];
      const count = parameters.length;
      apply(optimizer.operator, operands, optimizer.attributes(count), updateInplace(operands.length, count));
      return [loss as Value, correct as Value];
    });
  }
}

/** Loss and number of right answers of a batch, as a graph. The model's mode is as it was, afterwards. */
export function traceLoss(model: Module, loss: Loss, inputs: StepInputs, training: boolean): Graph {
  return inMode(model, training, () =>
    trace(
      (...values) => {
        const { x, labels } = inputs.read(values);
        const output = model.forward(x);
        const value = loss(output, labels);
        if (!(value instanceof Traced || value instanceof Tensor)) {
          throw new FoveaError(
            'ERR_GRAPH',
            'loss',
            `the loss must return a value of operators, it returned ${show(value)}`,
          );
        }
        if (value.shape.length > 0) {
          throw new FoveaError('ERR_SHAPE', 'loss', `the loss must be a scalar, it is ${formatShape(value.shape)}`);
        }
        return [value, correctOf(output, labels)];
      },
      inputs.specs,
      training ? 'training step' : 'evaluation',
    ),
  );
}

function correctOf(output: Value, labels: Value): Value {
  const scores = output.shape.length === 2 && labels.shape.length === 1 && labels.dtype === 'int32';
  return scores ? countCorrect(output, labels) : Tensor.zeros([], 'int32');
}

/** Calls `body` with the whole model in one mode, and puts each module back into its own. */
export function inMode<T>(model: Module, training: boolean, body: () => T): T {
  const modes = [...model.namedModules()].map(([, module]) => ({ module, mode: module.training }));
  model.train(training);
  try {
    return body();
  } finally {
    for (const { module, mode } of modes) module.training = mode;
  }
}
