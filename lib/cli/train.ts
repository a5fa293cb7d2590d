import { performance } from 'node:perf_hooks';
import type { InMemorySplit } from '../data/array-dataset.js';
import { FoveaError } from '../errors.js';
import type { Module } from '../nn/module.js';
import { crossEntropy } from '../ops/cross-entropy.js';
import { checkpointPath } from '../train/checkpoint.js';
import { compileStep } from '../train/compile-step.js';
import { type FitRun, fit } from '../train/fit.js';
import { type CommandLine, defaultOut, defaults, type ModelName, type Settings } from './options.js';
import { showBackend, showData, showKernels, showModel } from './overview.js';
import { progressDisplay } from './progress.js';
import { writeResults } from './results.js';
import { readSettings, writeSettings } from './settings-file.js';
import { makeModel, makeOptimizer, openData } from './setup.js';
import { compareSpeed } from './speed.js';
import { count, duration, type Output } from './terminal.js';

/** What the reference backend can do in about a minute. */
const referenceSizes = { trainSize: 240, testSize: 80, epochs: 2, batchSize: 16 };

/**
 * The main job: trains, shows, writes checkpoint and pictures.
 * @returns 'done', or 'stopped' when the signal came; then a checkpoint is there to go on from
 * @throws FoveaError
 */
export async function train(
  commandLine: CommandLine,
  output: Output,
  signal: AbortSignal,
): Promise<'done' | 'stopped'> {
  const { out, threads, resume } = commandLine;
  const info = showBackend(output, threads);
  const saved = resume === undefined ? defaults : readSettings(resume);
  const settings: Settings = { ...saved, ...commandLine.settings };
  const smaller = info.name === 'reference' && settings.data === 'glyphs' && resume === undefined;
  const chosen = smaller ? { ...settings, ...referenceSizes, ...commandLine.settings } : settings;
  if (smaller)
    output.line(
      '          so this trains on fewer images for fewer epochs; --train-size, --test-size and --epochs ask for more',
    );
  const set = openData(chosen);
  showData(output, chosen.data, set);
  const model = makeModel(chosen, set);
  showModel(output, chosen, model, set.imageShape);
  if (info.name === 'native') showKernelsOf(output, model, chosen, set, threads);
  return await trainAndShow({ settings: chosen, set, model, out, threads, resume, output, signal });
}

function showKernelsOf(
  output: Output,
  model: Module,
  settings: Settings,
  set: InMemorySplit,
  threads: number | undefined,
): void {
  const step = compileStep(model, {
    inputShape: [settings.batchSize, ...set.imageShape],
    inputType: set.images instanceof Uint8Array ? 'uint8' : 'float32',
    loss: crossEntropy,
    optimizer: makeOptimizer(settings, set.length),
    precision: settings.precision,
    ...(threads === undefined ? {} : { threads }),
  });
  showKernels(output, step);
  output.line();
  step.dispose();
}

interface Job {
  readonly settings: Settings;
  readonly set: InMemorySplit;
  readonly model: Module;
  readonly out: string;
  readonly threads: number | undefined;
  readonly resume: string | undefined;
  readonly output: Output;
  readonly signal: AbortSignal;
}

async function trainAndShow(job: Job): Promise<'done' | 'stopped'> {
  const { output, signal } = job;
  const start = performance.now();
  if ((await runFit(job)) === 'stopped') return 'stopped';
  output.line();
  output.line(`trained in ${duration((performance.now() - start) / 1000)}`);
  const stopped = new Promise<'stopped'>((resolve) => signal.addEventListener('abort', () => resolve('stopped')));
  return await Promise.race([showResults(job), stopped]); // the checkpoint is written: nothing to wait for
}

async function showResults(job: Job): Promise<'done'> {
  const { settings, set, model, out, threads, output } = job;
  await writeResults(output, { model, test: set.test, out, threads });
  output.line(`${'checkpoint'.padEnd(20)} ${checkpointPath(out)}`);
  await showSpeed(job, () => makeModel(settings, set));
  return 'done';
}

async function runFit({
  settings,
  set,
  model,
  out,
  threads,
  resume,
  output,
  signal,
}: Job): Promise<'done' | 'stopped'> {
  const { epochs, batchSize, precision, seed } = settings;
  const run = fit(model, set.train, {
    optimizer: makeOptimizer(settings, set.length),
    epochs,
    batchSize,
    precision,
    seed,
    validation: set.test,
    signal,
    checkpoint: { dir: out },
    ...(threads === undefined ? {} : { threads }),
    ...(resume === undefined ? {} : { resume }),
  });
  const display = progressDisplay(output, epochs, batchSize);
  try {
    for await (const event of run) {
      if (event.type === 'step') display.step(event);
      else if (event.type === 'epoch') display.epoch(event);
      // Not before the checkpoint: until then the folder may hold those of an earlier run, which belong together.
      else await writeSettings(out, settings);
    }
    return 'done';
  } catch (error) {
    if (!(error instanceof FoveaError && error.code === 'ERR_ABORTED')) throw error;
    display.stop();
    await saveStopped(run, settings, out, output);
    return 'stopped';
  } finally {
    display.stop();
  }
}

async function saveStopped(run: FitRun, settings: Settings, out: string, output: Output): Promise<void> {
  try {
    const path = await run.saveCheckpoint(out);
    await writeSettings(out, settings);
    output.line(`stopped; the checkpoint is ${path}`);
    const command = process.env.npm_lifecycle_event === 'start' ? 'npm start --' : 'fovea';
    output.line(`go on with: ${command} --resume${out === defaultOut ? '' : ` --out ${out}`}`);
  } catch (error) {
    if (!(error instanceof FoveaError && error.code === 'ERR_DATA')) throw error;
    output.line('stopped before the first step; there is nothing to go on from');
  }
}

/** ResNet-18 on whole images would keep the reference busy for half a minute. */
const crops: Partial<Record<ModelName, number>> = { resnet18: 12 };

async function showSpeed({ settings, set, threads, output }: Job, make: () => Module): Promise<void> {
  const { batchSize, model } = settings;
  const comparison = await compareSpeed({ makeModel: make, set, batchSize, threads, crop: crops[model] });
  if (!comparison) return;
  const { native, reference, inputShape, difference } = comparison;
  const [images, , height, width] = inputShape;
  output.line();
  output.line(
    `native was ${count(reference / native)} times faster than the reference backend: one training step on ${images} images of ${height}×${width}`,
  );
  output.line(
    `took ${native.toFixed(1)} ms against ${count(reference)} ms, and changed the parameters alike (‖difference‖ / ‖change‖ = ${difference.toExponential(0)})`,
  );
}
