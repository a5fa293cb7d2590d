import { activeBackend, backend, useBackend } from '../backend/select.js';
import type { ArrayDataset } from '../data/dataset.js';
import { FoveaError } from '../errors.js';
import type { Module } from '../nn/module.js';
import { crossEntropy } from '../ops/cross-entropy.js';
import { SGD } from '../optim/sgd.js';
import { sizeOf } from '../tensor.js';
import { compileStep } from '../train/compile-step.js';

export interface SpeedComparison {
  /** [N, C, H, W] */
  readonly inputShape: readonly number[];
  /** Milliseconds of one training step. */
  readonly native: number;
  readonly reference: number;
  /** ‖native − reference‖ / ‖reference‖ over how much each parameter changed. */
  readonly difference: number;
}

export interface SpeedOptions {
  /** Makes the same untrained model at each call. */
  readonly makeModel: () => Module;
  readonly set: ArrayDataset;
  readonly batchSize: number;
  readonly threads: number | undefined;
  /** Cuts images to their upper left corner of so many pixels each way: for models too heavy for the reference. */
  readonly crop?: number | undefined;
  /** Roughly what the reference may take for the step that is timed. Default 1500 ms. */
  readonly budget?: number;
}

/**
 * Rounding alone is 1e-6 or less. But an even background makes ties in max pooling, which rounding decides (Winograd's
 * tiles do not round every place alike), and then single elements of a gradient move: 1e-3 in the norm. A wrong
 * gradient differs by a share near 1.
 */
const tolerance = 1e-2;

/**
 * Times the same training step on both backends: same parameters, same images, after checking that the parameters
 * change alike. The batch is made smaller until the reference fits its budget; the native time is the median of
 * several steps, the reference's that of one.
 * @returns undefined when the native backend is not in use
 * @throws FoveaError ERR_BACKEND when the backends do not agree
 */
export async function compareSpeed(options: SpeedOptions): Promise<SpeedComparison | undefined> {
  if (backend().name !== 'native') return undefined;
  const { budget = 1500, set } = options;
  const most = Math.min(options.batchSize, set.length);
  const smallest = Math.min(2, most);
  const probe = await timeStep('reference', options, smallest);
  let batchSize = smallest;
  while (batchSize * 2 <= most && probe.milliseconds * ((2 * batchSize) / smallest) <= budget) batchSize *= 2;
  const reference = batchSize === smallest ? probe : await timeStep('reference', options, batchSize);
  const native = await timeStep('native', options, batchSize);
  const difference = disagreement(native.changes, reference.changes);
  if (!(difference <= tolerance)) {
    const detail = `after one step the parameters' changes differ by ${difference.toExponential(1)} of their norm, allowed is ${tolerance}`;
    throw new FoveaError('ERR_BACKEND', 'speed', `native and reference disagree: ${detail}`);
  }
  const inputShape = [batchSize, ...native.imageShape];
  return { inputShape, native: native.milliseconds, reference: reference.milliseconds, difference };
}

interface TimedStep {
  readonly milliseconds: number;
  readonly imageShape: readonly number[];
  /** How much each parameter changed in the first step. */
  readonly changes: readonly Float64Array[];
}

async function timeStep(name: 'native' | 'reference', options: SpeedOptions, batchSize: number): Promise<TimedStep> {
  const model = options.makeModel();
  const { x, y, imageShape } = firstImages(options.set, batchSize, options.crop);
  const step = compileOn(name, model, options, [batchSize, ...imageShape]);
  try {
    const timed = async () => {
      const start = performance.now();
      await step.step(x, y);
      return performance.now() - start;
    };
    const before = model.parameters().map(({ data }) => Float64Array.from(data));
    const first = await timed();
    const changes = model
      .parameters()
      .map(({ data }, i) => Float64Array.from(data, (v, j) => v - (before[i]?.[j] ?? 0)));
    // The native program is warm after its first step; the reference's step is long enough to be measured once.
    const milliseconds = name === 'native' ? await medianOver(300, timed) : first;
    return { milliseconds, imageShape, changes };
  } finally {
    step.dispose();
  }
}

function compileOn(name: 'native' | 'reference', model: Module, options: SpeedOptions, inputShape: readonly number[]) {
  const { set, threads } = options;
  const before = activeBackend().name;
  useBackend(name);
  try {
    return compileStep(model, {
      inputShape,
      inputType: set.images instanceof Uint8Array ? 'uint8' : 'float32',
      loss: crossEntropy,
      optimizer: new SGD({ lr: 0.1, momentum: 0.9 }),
      ...(set.normalization ? { normalization: set.normalization } : {}),
      ...(threads === undefined ? {} : { threads }),
    });
  } finally {
    useBackend(before);
  }
}

function firstImages(set: ArrayDataset, count: number, crop = Number.POSITIVE_INFINITY) {
  const [channels = 1, height = 1, width = 1] = set.imageShape;
  const imageShape = [channels, Math.min(height, crop), Math.min(width, crop)];
  const size = sizeOf(imageShape);
  const x = set.images.slice(0, count * size);
  const [rows = 1, columns = 1] = imageShape.slice(1);
  for (let i = 0; i < x.length; ++i) {
    const plane = Math.floor(i / (rows * columns));
    const row = Math.floor(i / columns) % rows;
    x[i] = set.images[(plane * height + row) * width + (i % columns)] ?? 0;
  }
  return { x, y: set.labels.slice(0, count), imageShape };
}

/** Between 5 and 50 runs, until the time is over. */
async function medianOver(milliseconds: number, timed: () => Promise<number>): Promise<number> {
  const times: number[] = [];
  const end = performance.now() + milliseconds;
  while (times.length < 5 || (performance.now() < end && times.length < 50)) times.push(await timed());
  return times.sort((a, b) => a - b)[times.length >> 1] ?? 0;
}

function disagreement(a: readonly Float64Array[], b: readonly Float64Array[]): number {
  let difference = 0;
  let whole = 0;
  a.forEach((changes, i) => {
    changes.forEach((change, j) => {
      const other = b[i]?.[j] ?? Number.NaN;
      difference += (change - other) ** 2;
      whole += other ** 2;
    });
  });
  return whole > 0 ? Math.sqrt(difference / whole) : Number.POSITIVE_INFINITY; // NaN is no agreement either
}
