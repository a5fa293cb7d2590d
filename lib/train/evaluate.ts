import { checkOptions } from '../geometry/options.js';
import { compileGraph, type Executable } from '../graph/executable.js';
import { fuse } from '../graph/fuse.js';
import { checkModule, type Module } from '../nn/module.js';
import { crossEntropy } from '../ops/cross-entropy.js';
import { abortable, checkSignal, reasonOf, untilAborted } from './abort.js';
import type { Evaluation } from './events.js';
import { type DataSource, type Feed, openFeed } from './feed.js';
import { checkJob, checkLoss, checkMetrics, checkWhole, compileOptions, type JobOptions } from './options.js';
import { type Loss, traceLoss } from './trainer.js';

export interface EvaluateOptions extends JobOptions {
  /** Default 256. */
  readonly batchSize?: number;
  /** Default `ops.crossEntropy`. */
  readonly loss?: Loss;
  /** Loss and accuracy are always measured; the names are checked. */
  readonly metrics?: readonly 'accuracy'[];
  readonly signal?: AbortSignal;
}

/** Loss and accuracy of a model on one data set; compiled at the first use, for each size of batch. */
export class Evaluator {
  private readonly programs = new Map<number, Executable>();

  constructor(
    private readonly model: Module,
    private readonly feed: Feed,
    private readonly loss: Loss,
    private readonly batchSize: number,
    private readonly job: JobOptions,
  ) {}

  /** @throws FoveaError ERR_ABORTED */
  async run(signal?: AbortSignal): Promise<Evaluation> {
    const stop = () => this.cancel();
    signal?.addEventListener('abort', stop);
    try {
      let lossSum = 0;
      let correct = 0;
      let seen = 0;
      for await (const { size, arrays } of abortable(
        this.feed.batches(this.batchSize, undefined, 0),
        signal,
        'evaluate',
      )) {
        const [loss, right] = await this.program(size).run(arrays);
        lossSum += (loss?.[0] as number) * size;
        correct += right?.[0] as number;
        seen += size;
      }
      return { loss: lossSum / seen, accuracy: correct / seen };
    } finally {
      signal?.removeEventListener('abort', stop);
    }
  }

  cancel(): void {
    for (const program of this.programs.values()) program.cancel();
  }

  dispose(): void {
    for (const program of this.programs.values()) program.dispose();
    this.programs.clear();
  }

  private program(batch: number): Executable {
    const known = this.programs.get(batch);
    if (known) return known;
    const inputs = { specs: this.feed.inputs(batch), read: this.feed.read.bind(this.feed) };
    const graph = fuse(traceLoss(this.model, this.loss, inputs, false));
    const program = compileGraph(graph, { ...compileOptions(this.job), weights: 'steady' });
    this.programs.set(batch, program);
    return program;
  }
}

/**
 * Mean loss and accuracy of a model on a data set, in evaluation mode.
 * @throws FoveaError (rejects) ERR_OPTION, ERR_DATA, ERR_SHAPE, ERR_ABORTED
 */
export async function evaluate(model: Module, dataset: DataSource, options: EvaluateOptions = {}): Promise<Evaluation> {
  checkModule('evaluate', 'model', model);
  checkOptions('evaluate', options, ['batchSize', 'loss', 'signal', 'metrics', 'precision', 'threads']);
  checkJob('evaluate', options);
  const { batchSize = 256, loss = crossEntropy, signal } = options;
  checkWhole('evaluate', 'batchSize', batchSize, 1);
  checkLoss('evaluate', loss);
  checkMetrics('evaluate', options.metrics);
  checkSignal('evaluate', signal);
  const feed = await untilAborted(openFeed(dataset, 'evaluate'), signal, 'evaluate');
  const evaluator = new Evaluator(model, feed, loss, batchSize, options);
  try {
    return await evaluator.run(signal);
  } catch (error) {
    throw reasonOf(error, signal, 'evaluate');
  } finally {
    evaluator.dispose();
  }
}
