import { activeBackend, backend, useBackend } from '../backend/select.js';
import type { ArrayDataset } from '../data/dataset.js';
import { FoveaError } from '../errors.js';
import type { Module } from '../nn/module.js';
import { crossEntropy } from '../ops/cross-entropy.js';
import { SGD } from '../optim/sgd.js';
import { sizeOf } from '../tensor.js';
import { type CompiledStep, compileStep } from '../train/compile-step.js';

export interface SpeedComparison {
  readonly batchSize: number;
  /** Milliseconds of one training step. */
  readonly native: number;
  readonly reference: number;
  /** Largest difference of any parameter after the same step, as a share of the largest parameter. */
  readonly difference: number;
}

export interface SpeedOptions {
  /** Makes the same untrained model at each call. */
  readonly makeModel: () => Module;
  readonly set: ArrayDataset;
  readonly batchSize: number;
  readonly threads: number | undefined;
  /** Roughly what the reference may take for the step that is timed. Default 1.5 s. */
  readonly budget?: number;
  readonly signal?: AbortSignal;
}

/** What float32 sums in another order may differ by; a wrong gradient differs by far more. */
const tolerance = 1e-4;

/**
 * Times the same training step on both backends: same parameters, same images, after checking that the updated
 * parameters agree. The batch is made smaller until the reference fits its budget; the native time is the median of
 * several steps, the reference's that of one.
 * @returns undefined when the native backend is not in use
 * @throws FoveaError ERR_BACKEND when the backends do not agree
 */
export async function compareSpeed(options: SpeedOptions): Promise<SpeedComparison | undefined> {
  if (backend().name !== 'native') return undefined;
  const { budget = 1500 } = options;
  const probe = await timeStep('reference', options, Math.min(2, options.batchSize));
  let batchSize = Math.min(2, options.batchSize);
  while (batchSize * 2 <= options.batchSize && (probe.milliseconds * 2 * batchSize) / 2 <= budget) batchSize *= 2;
  const reference = batchSize === 2 ? probe : await timeStep('reference', options, batchSize);
  const native = await timeStep('native', options, batchSize);
  const difference = largestDifference(native.model, reference.model);
  if (!(difference <= tolerance)) {
    throw new FoveaError(
      'ERR_BACKEND',
      'speed',
      `native and reference disagree after one step: parameters differ by ${difference.toExponential(1)} of the largest, allowed is ${tolerance}`,
    );
  }
  return { batchSize, native: native.milliseconds, reference: reference.milliseconds, difference };
}

interface TimedStep {
  readonly milliseconds: number;
  /** After exactly one step. */
  readonly model: Record<string, Float64Array>;
}

async function timeStep(name: 'native' | 'reference', options: SpeedOptions, batchSize: number): Promise<TimedStep> {
  const { makeModel, set, threads } = options;
  const before = activeBackend().name;
  const model = makeModel();
  let step: CompiledStep;
  try {
    useBackend(name);
    step = compileStep(model, {
      inputShape: [batchSize, ...set.imageShape],
      inputType: set.images instanceof Uint8Array ? 'uint8' : 'float32',
      loss: crossEntropy,
      optimizer: new SGD({ lr: 0.01, momentum: 0.9 }),
      ...(set.normalization ? { normalization: set.normalization } : {}),
      ...(threads === undefined ? {} : { threads }),
    });
  } finally {
    useBackend(before);
  }
  try {
    const x = set.images.subarray(0, batchSize * sizeOf(set.imageShape));
    const y = set.labels.subarray(0, batchSize);
    const run = async () => {
      options.signal?.throwIfAborted();
      const start = performance.now();
      await step.step(x, y);
      return performance.now() - start;
    };
    const times = [await run()];
    const after = Object.fromEntries(
      model.namedParameters().map(([path, { data }]) => [path, Float64Array.from(data)]),
    );
    if (name === 'native') {
      times.pop(); // the first step also warms up
      for (
        const until = performance.now() + 300;
        times.length < 5 || (performance.now() < until && times.length < 50);
      )
        times.push(await run());
    }
    return { milliseconds: median(times), model: after };
  } finally {
    step.dispose();
  }
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
}

function largestDifference(
  a: Readonly<Record<string, Float64Array>>,
  b: Readonly<Record<string, Float64Array>>,
): number {
  let difference = 0;
  let largest = 0;
  for (const [path, values] of Object.entries(a)) {
    values.forEach((value, i) => {
      difference = Math.max(
        difference,
        Math.abs(value - (b[path]?.[i] ?? Number.NaN)) || (Number.isNaN(value) ? Number.POSITIVE_INFINITY : 0),
      );
      largest = Math.max(largest, Math.abs(value));
    });
  }
  return difference / (largest || 1);
}
