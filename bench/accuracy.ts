// npm run bench:accuracy -- --data DIR: does training in 'high' and 'medium' reach the accuracy of 'highest'?
import { writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import type { ProgramSpec, ProgramStep } from '../lib/backend/backend.js';
import { findNative } from '../lib/backend/native.js';
import { defaults, modelNames, type Settings } from '../lib/cli/options.js';
import { makeModel, makeOptimizer, openData } from '../lib/cli/setup.js';
import { evaluate, fit, type Precision } from '../lib/index.js';
import { Table } from './helpers/table.js';
import { precisions } from './torch/options.js';

const usage = `npm run bench:accuracy -- --data DIR [--model ${modelNames.join('|')}] [--epochs N] [--seeds N] [--train-size N]
                          [--planned] [--json FILE]
Trains from seeds 1 to N in each precision. Convolutions are computed by the bfloat16 algorithm where it exists, also where
float32 is faster on this CPU, unless --planned leaves the choice to the planner.`;

const { values: options } = parseArgs({
  options: {
    data: { type: 'string', default: '' },
    model: { type: 'string', default: 'lenet' },
    epochs: { type: 'string', default: '2' },
    seeds: { type: 'string', default: '5' },
    'train-size': { type: 'string' },
    planned: { type: 'boolean', default: false },
    json: { type: 'string' },
  },
});
const model = modelNames.find((name) => name === options.model);
const { backend: native, reason } = findNative();
if (options.data === '' || model === undefined || native === undefined) {
  console.log(native === undefined ? `the native backend is not there: ${reason}` : usage);
  process.exit(native === undefined ? 1 : 2);
}
const seeds = Array.from({ length: Number(options.seeds) }, (_, i) => i + 1);
const trainSize = options['train-size'] === undefined ? undefined : Number(options['train-size']);
const bf16Steps = options.planned ? () => 0 : forceBf16(native);

await compare();

async function compare(): Promise<void> {
  const epochs = Number(options.epochs);
  const base: Settings = { ...defaults, data: options.data, model: model ?? defaults.model, epochs, trainSize };
  const set = openData(base);
  console.log(`data      ${basename(options.data)}: ${set.length} images to train on, ${set.test.length} to test`);
  console.log(`training  ${base.model}, ${epochs} epochs, batches of ${base.batchSize}, ${native?.info.isa}\n`);
  const accuracies = new Map<Precision, number[]>(precisions.map((precision) => [precision, []]));
  for (const seed of seeds) {
    for (const precision of precisions) {
      const accuracy = await train({ ...base, seed, precision }, set);
      accuracies.get(precision)?.push(accuracy);
      console.log(`seed ${seed}  ${precision.padEnd(8)} ${percent(accuracy)}`);
    }
  }
  printTable(accuracies);
  if (options.json) writeFileSync(options.json, `${JSON.stringify(Object.fromEntries(accuracies), null, 2)}\n`);
}

async function train(settings: Settings, set: ReturnType<typeof openData>): Promise<number> {
  const { epochs, batchSize, seed, precision } = settings;
  const network = makeModel(settings, set);
  const optimizer = makeOptimizer(settings, set.length);
  await fit(network, set, { optimizer, epochs, batchSize, seed, precision });
  return (await evaluate(network, set.test, { precision })).accuracy;
}

function printTable(accuracies: ReadonlyMap<Precision, readonly number[]>): void {
  const highest = accuracies.get('highest') ?? [];
  const spread = deviation(highest);
  console.log('');
  const table = new Table([
    { title: 'precision', width: 9 },
    { title: 'accuracy', width: 9 },
    { title: 'spread', width: 8 },
    { title: 'lowest', width: 8 },
    { title: 'highest', width: 8 },
    { title: 'bf16 passes', width: 11 },
    { title: "mean within the spread of 'highest'", width: 36 },
  ]);
  for (const [precision, values] of accuracies) {
    const difference = mean(values) - mean(highest);
    const verdict =
      precision === 'highest' ? '' : `${Math.abs(difference) <= spread ? 'yes' : 'NO'}, ${signed(difference)}`;
    const extremes = [Math.min(...values), Math.max(...values)].map(percent);
    table.row(
      precision,
      percent(mean(values)),
      percent(deviation(values)),
      ...extremes,
      String(bf16Steps(precision)),
      verdict,
    );
  }
  console.log(
    `\nmeans of ${highest.length} seeds; spread: their standard deviation; bf16 passes: of the training step`,
  );
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function deviation(values: readonly number[]): number {
  const center = mean(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - center) ** 2, 0) / (values.length - 1));
}

function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}

function signed(share: number): string {
  return `${share < 0 ? '−' : '+'}${percent(Math.abs(share))}`;
}

/**
 * Asks for the bfloat16 algorithm by name wherever there is one, in every program that is compiled from now on.
 * @returns how many passes of the largest program of a precision use it
 */
function forceBf16(backend: NonNullable<typeof native>): (precision: Precision) => number {
  const most = new Map<Precision, number>();
  const compile = backend.compile.bind(backend);
  backend.compile = (spec) => {
    const { precision = 'highest' } = spec;
    if (precision === 'highest') return compile(spec);
    const steps = spec.steps.map((step) => forced(spec, step));
    const count = steps.filter(({ attributes }) => attributes.algorithm === 'bf16').length;
    most.set(precision, Math.max(count, most.get(precision) ?? 0));
    return compile({ ...spec, steps });
  };
  return (precision) => most.get(precision) ?? 0;
}

/** Operators that have it, for operands in blocked layout: an image of few channels is convolved where it lies. */
function forced(spec: ProgramSpec, step: ProgramStep): ProgramStep {
  const blocked = spec.values[step.inputs[0] ?? -1]?.layout.startsWith('blocked');
  if (!/^conv2d(GradInput|GradWeight)?$/.test(step.operator) || !blocked) return step;
  return { ...step, attributes: { ...step.attributes, algorithm: 'bf16' } };
}
