import type { Precision } from '../../lib/index.js';
import { mebibytes } from '../helpers/memory.js';
import { format, Table } from '../helpers/table.js';
import { geometricMean } from '../helpers/timing.js';
import type { Ratio } from '../helpers/turns.js';
import { type Pass, passes } from '../ops/conv2d.js';
import { precisions } from './options.js';

export interface LayerResult extends Ratio {
  readonly kind: 'layer';
  readonly name: string;
  readonly pass: Pass;
  readonly precision: Precision;
}

export interface ModelResult extends Ratio {
  readonly kind: 'model';
  readonly name: string;
  readonly mode: 'train' | 'infer';
  readonly precision: Precision;
  /** Of a training step; null where it was not measured. */
  readonly torchPeakBytes: number | null;
  readonly foveaPeakBytes: number | null;
}

export type Result = LayerResult | ModelResult;

/** PyTorch's time / Fovea's, at least. */
const goals: Readonly<Record<'layer' | 'train' | 'infer', Readonly<Record<Precision, number>>>> = {
  layer: { highest: 1.5, high: 2.5, medium: 1.2 },
  train: { highest: 2, high: 3, medium: 2 },
  infer: { highest: 1.5, high: 1.5, medium: 1.5 },
};

/** Everything that was measured beside what it should be. */
export function printGoals(results: readonly Result[]): void {
  const layers = results.filter((result) => result.kind === 'layer');
  const models = results.filter((result) => result.kind === 'model');
  if (results.length === 0) return;
  console.log('\ngoals: ratios are PyTorch time / Fovea time; of layers the geometric mean\n');
  const table = new Table([
    { title: 'what', width: 34 },
    { title: 'precision', width: 9 },
    { title: 'goal', width: 5 },
    { title: 'ratio', width: 6 },
    { title: 'met', width: 4 },
  ]);
  const row = (what: string, precision: Precision, goal: number, ratio: number) =>
    table.row(what, precision, goal, ratio, ratio >= goal ? 'yes' : 'NO');
  for (const precision of precisions) {
    for (const pass of passes) {
      const ratios = layers.filter((layer) => layer.precision === precision && layer.pass === pass);
      if (ratios.length === 0) continue;
      row(`${ratios.length} layers, ${pass}`, precision, goals.layer[precision], mean(ratios));
    }
    for (const model of models.filter((model) => model.precision === precision)) {
      const what = model.mode === 'train' ? 'training step' : 'inference';
      row(`${model.name}, ${what}`, precision, goals[model.mode][precision], model.ratio);
    }
  }
  printSlower(layers);
  printMemory(models);
}

const mean = (ratios: readonly Ratio[]) => geometricMean(ratios.map(({ ratio }) => ratio));

function printSlower(layers: readonly LayerResult[]): void {
  if (layers.length === 0) return;
  const slower = layers.filter(({ ratio }) => !(ratio >= 1)).sort((a, b) => a.ratio - b.ratio);
  console.log(`\nslower than PyTorch: ${slower.length} of ${layers.length} passes over layers`);
  for (const { name, pass, precision, ratio } of slower) console.log(`  ${name} ${pass} ${precision} ${format(ratio)}`);
}

function printMemory(models: readonly ModelResult[]): void {
  const measured = models.flatMap(({ name, precision, torchPeakBytes: torch, foveaPeakBytes: fovea }) =>
    torch === null || fovea === null ? [] : [{ name, precision, torch, fovea }],
  );
  if (measured.length === 0) return;
  const over = measured.filter(({ torch, fovea }) => !(fovea < torch));
  console.log(
    `\npeak memory of a training step: ${measured.length - over.length} of ${measured.length} below PyTorch's`,
  );
  for (const { name, precision, torch, fovea } of over) {
    console.log(`  not below: ${name} ${precision}: Fovea ${mebibytes(fovea)} MiB, PyTorch ${mebibytes(torch)} MiB`);
  }
}
