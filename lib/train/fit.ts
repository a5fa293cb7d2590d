import { FoveaError, show } from '../errors.js';
import { checkOptions, flag } from '../geometry/options.js';
import { checkModule, type Module } from '../nn/module.js';
import { crossEntropy } from '../ops/cross-entropy.js';
import type { Optimizer } from '../optim/optimizer.js';
import { Random } from '../random.js';
import { abortable, checkAborted, checkSignal, reasonOf, untilAborted } from './abort.js';
import { checkpointPath, loadCheckpoint, type Progress, saveCheckpoint } from './checkpoint.js';
import { Evaluator } from './evaluate.js';
import type { EpochEvent, FitEvent } from './events.js';
import { type Batch, type DataSource, type Feed, openFeed } from './feed.js';
import { checkJob, checkLoss, checkMetrics, checkOptimizer, checkWhole, type JobOptions } from './options.js';
import { Run } from './run.js';
import { type Loss, Trainer } from './trainer.js';

export interface FitOptions extends JobOptions {
  readonly optimizer: Optimizer;
  /** Default `ops.crossEntropy`. */
  readonly loss?: Loss;
  /** How often to go through the data set, counted from the start of the training, also after `resume`. Default 1. */
  readonly epochs?: number;
  /** Samples per step. Default 64. The last batch of an epoch holds what is left. */
  readonly batchSize?: number;
  /** Default true: another order in each epoch, from `seed`. Streams keep their order. */
  readonly shuffle?: boolean;
  /** Evaluated after each epoch. */
  readonly validation?: DataSource;
  /** Loss and accuracy are always measured; the names are checked. */
  readonly metrics?: readonly 'accuracy'[];
  /** Fixes the order of the samples and what dropout layers without a seed of their own drop. Default 0. */
  readonly seed?: number;
  /** Stops the training, also in the middle of a step: the run rejects with ERR_ABORTED, its `cause` is the signal's reason. */
  readonly signal?: AbortSignal;
  /** Writes `dir/checkpoint.safetensors` after each epoch and, if given, every so many steps. */
  readonly checkpoint?: { readonly dir: string; readonly everySteps?: number };
  /** Goes on from a checkpoint (the file or its folder): bit for bit what an uninterrupted run would have computed. */
  readonly resume?: string;
}

/** What a finished training returns. */
export interface FitResult {
  /** One entry for each epoch, those before `resume` included. */
  readonly history: readonly EpochEvent[];
}

const optionNames = [
  'optimizer',
  'loss',
  'epochs',
  'batchSize',
  'shuffle',
  'validation',
  'metrics',
  'seed',
  'signal',
  'checkpoint',
  'resume',
  'precision',
  'threads',
];

/** A training that is under way. */
export class FitRun extends Run<FitEvent, FitResult> {
  constructor(private readonly training: Training) {
    super((emit) => training.run(emit));
  }

  /**
   * Writes a checkpoint of where the training stands, also after it was aborted.
   * @param dir  default: the folder of the `checkpoint` option
   * @returns the path of the file
   * @throws FoveaError ERR_OPTION without a folder, ERR_IO, ERR_DATA before the first step could begin
   */
  async saveCheckpoint(dir?: string): Promise<string> {
    return this.training.save(dir);
  }
}

const running = new WeakSet<Module>();

/**
 * Trains a model: shuffles, gathers batches, steps, evaluates, writes checkpoints. Each step is one native call off the
 * event loop. The same seed gives the same bits, with any number of threads.
 * @returns a run: `for await (const event of run)` for its events, `await run` for the history
 * @throws FoveaError ERR_OPTION, ERR_BUSY when this model is being trained already; the run rejects with ERR_ABORTED,
 *   ERR_DATA, ERR_SHAPE, ERR_IO …, and the model stays usable. A failure that nobody awaits or iterates is a warning of
 *   the process, not an unhandled rejection
 */
export function fit(model: Module, trainSet: DataSource, options: FitOptions): FitRun {
  checkModule('fit', 'model', model);
  checkFitOptions(options);
  if (running.has(model)) {
    throw new FoveaError('ERR_BUSY', 'fit', 'this model is being trained already; wait for that run or abort it');
  }
  running.add(model);
  return new FitRun(new Training(model, trainSet, options));
}

function checkFitOptions(options: FitOptions): void {
  checkOptions('fit', options, optionNames);
  checkJob('fit', options);
  const { epochs = 1, batchSize = 64, seed = 0, shuffle = true, checkpoint, resume } = options;
  checkOptimizer('fit', options.optimizer);
  checkLoss('fit', options.loss ?? crossEntropy);
  checkWhole('fit', 'epochs', epochs, 1);
  checkWhole('fit', 'batchSize', batchSize, 1);
  checkWhole('fit', 'seed', seed, 0);
  flag('fit', 'shuffle', shuffle);
  checkMetrics('fit', options.metrics);
  checkSignal('fit', options.signal);
  if (checkpoint !== undefined) {
    checkOptions('fit', checkpoint, ['dir', 'everySteps']);
    checkPath('checkpoint.dir', checkpoint.dir);
    if (checkpoint.everySteps !== undefined) checkWhole('fit', 'checkpoint.everySteps', checkpoint.everySteps, 1);
  }
  if (resume !== undefined) checkPath('resume', resume);
}

function checkPath(name: string, path: unknown): void {
  if (typeof path === 'string' && path !== '') return;
  throw new FoveaError('ERR_OPTION', 'fit', `${name} must be a path, got ${show(path)}`);
}

type Emit = (event: FitEvent) => Promise<void>;
type Writable<T> = { -readonly [K in keyof T]: T[K] };

class Training {
  private readonly epochs: number;
  private readonly batchSize: number;
  private readonly loss: Loss;
  private readonly progress: Writable<Progress>;
  private history: EpochEvent[] = [];
  private trainer: Trainer | undefined;
  private epochStart = 0;
  private seenAtStart = 0;

  constructor(
    private readonly model: Module,
    private readonly trainSet: DataSource,
    private readonly options: FitOptions,
  ) {
    this.epochs = options.epochs ?? 1;
    this.batchSize = options.batchSize ?? 64;
    this.loss = options.loss ?? crossEntropy;
    const seed = options.seed ?? 0;
    this.progress = { epoch: 0, stepInEpoch: 0, step: 0, lossSum: 0, correct: 0, seen: 0, seed, history: [] };
  }

  async run(send: Emit): Promise<FitResult> {
    const { signal } = this.options;
    const emit: Emit = (event) => untilAborted(send(event), signal, 'fit');
    const stop = () => this.trainer?.cancel();
    signal?.addEventListener('abort', stop);
    let evaluator: Evaluator | undefined;
    try {
      checkAborted(signal, 'fit');
      const feed = await untilAborted(openFeed(this.trainSet, 'fit'), signal, 'fit');
      evaluator = await this.openValidation();
      const trainer = await this.start();
      while (this.progress.epoch < this.epochs) await this.epoch(trainer, feed, evaluator, emit);
      return { history: this.history };
    } catch (error) {
      throw reasonOf(error, signal, 'fit');
    } finally {
      signal?.removeEventListener('abort', stop);
      this.trainer?.dispose();
      evaluator?.dispose();
      running.delete(this.model);
    }
  }

  /** Writes a checkpoint; there is something to write from the moment the trainer is made. */
  async save(dir = this.options.checkpoint?.dir): Promise<string> {
    if (dir === undefined)
      throw new FoveaError('ERR_OPTION', 'saveCheckpoint', 'no folder: pass one, or give fit a checkpoint option');
    if (!this.trainer) throw new FoveaError('ERR_DATA', 'saveCheckpoint', 'the training has not begun');
    const path = checkpointPath(dir);
    const progress = { ...this.progress, history: this.history };
    await saveCheckpoint(path, this.model, this.trainer.optimizer, this.trainer.state, progress);
    return path;
  }

  private async openValidation(): Promise<Evaluator | undefined> {
    const { validation } = this.options;
    if (!validation) return undefined;
    const feed = await untilAborted(openFeed(validation, 'fit'), this.options.signal, 'fit');
    return new Evaluator(this.model, feed, this.loss, Math.max(this.batchSize, 256), this.options);
  }

  private async start(): Promise<Trainer> {
    const { optimizer, resume } = this.options;
    let state = optimizer.init(this.model.parameters());
    if (resume !== undefined) {
      const loaded = await loadCheckpoint(resume, this.model, optimizer);
      state = loaded.state;
      Object.assign(this.progress, loaded.progress);
      this.history = [...(loaded.progress.history as EpochEvent[])];
    }
    this.trainer = new Trainer(this.model, this.loss, optimizer, this.options, state, this.progress.seed);
    return this.trainer;
  }

  private async epoch(trainer: Trainer, feed: Feed, evaluator: Evaluator | undefined, emit: Emit): Promise<void> {
    const { progress, batchSize } = this;
    this.epochStart = performance.now();
    this.seenAtStart = progress.seen;
    const batches = feed.batches(batchSize, this.order(feed), progress.stepInEpoch);
    for await (const batch of abortable(batches, this.options.signal, 'fit')) {
      await this.step(trainer, feed, batch, emit);
    }
    if (progress.seen === 0) throw new FoveaError('ERR_DATA', 'fit', 'the data set gave no samples in this epoch');
    await this.endEpoch(evaluator, emit);
  }

  private async step(trainer: Trainer, feed: Feed, batch: Batch, emit: Emit): Promise<void> {
    const { progress, batchSize } = this;
    const learningRate = trainer.learningRate;
    const program = trainer.compile({ specs: feed.inputs(batch.size), read: feed.read.bind(feed) });
    const { loss, correct } = await trainer.step(program, batch.arrays);
    progress.step++;
    progress.stepInEpoch++;
    progress.lossSum += loss * batch.size;
    progress.correct += correct;
    progress.seen += batch.size;
    await emit({
      type: 'step',
      epoch: progress.epoch + 1,
      step: progress.step,
      stepInEpoch: progress.stepInEpoch,
      stepsPerEpoch: feed.length === undefined ? undefined : Math.ceil(feed.length / batchSize),
      loss,
      accuracy: correct / batch.size,
      learningRate,
      imagesPerSecond: this.imagesPerSecond(),
    });
    const every = this.options.checkpoint?.everySteps;
    if (every !== undefined && progress.step % every === 0) await this.writeCheckpoint(emit);
  }

  private async endEpoch(evaluator: Evaluator | undefined, emit: Emit): Promise<void> {
    const { progress } = this;
    const { signal } = this.options;
    const seconds = (performance.now() - this.epochStart) / 1000;
    const imagesPerSecond = this.imagesPerSecond();
    const validation = await evaluator?.run(signal);
    const event: EpochEvent = {
      type: 'epoch',
      epoch: progress.epoch + 1,
      step: progress.step,
      loss: progress.lossSum / progress.seen,
      accuracy: progress.correct / progress.seen,
      ...(validation ? { validation } : {}),
      seconds,
      imagesPerSecond,
    };
    this.history.push(event);
    Object.assign(progress, { epoch: progress.epoch + 1, stepInEpoch: 0, lossSum: 0, correct: 0, seen: 0 });
    await emit(event);
    if (this.options.checkpoint) await this.writeCheckpoint(emit);
  }

  private async writeCheckpoint(emit: Emit): Promise<void> {
    await emit({ type: 'checkpoint', path: await this.save(), step: this.progress.step });
  }

  private imagesPerSecond(): number {
    return ((this.progress.seen - this.seenAtStart) * 1000) / (performance.now() - this.epochStart);
  }

  private order(feed: Feed): Int32Array | undefined {
    if (!(this.options.shuffle ?? true) || feed.length === undefined) return undefined;
    return new Random(this.progress.seed, 2 + this.progress.epoch).permutation(feed.length);
  }
}
