// npm run bench: native against the reference backend, layer by layer and for whole training steps.
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { backend } from '../lib/index.js';
import { eventLoopDelay } from './event-loop.js';
import { header, peakNow } from './helpers/machine.js';
import { format, percent, Table } from './helpers/table.js';
import { geometricMean, measure } from './helpers/timing.js';
import { errorBound, productsOf, relativeError } from './ops/accuracy.js';
import { convolutionBench, type Pass, passes } from './ops/conv2d.js';
import { type ConvolutionShape, convolutions, flops } from './shapes/convolutions.js';
import { type ModelShape, models } from './shapes/models.js';
import { compareSteps } from './train-step.js';

const { values: options } = parseArgs({
  options: {
    filter: { type: 'string', default: '' },
    json: { type: 'string' },
    threads: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

if (options.help) {
  console.log('npm run bench -- [--filter TEXT] [--threads N] [--json FILE]\nTEXT: part of a layer or model name');
  process.exit(0);
}

/** Losses of the backends may differ by rounding only. */
const tolerance = 1e-4;
/** How many times faster than the reference a LeNet-style step has to be. */
const lenetGoal = 300;
/** The reference backend gets as many images as it can do in this many operations. */
const referenceFlops = 2e8;

const threads = options.threads === undefined ? backend().threads : Number(options.threads);
if (backend().name !== 'native') {
  console.error(
    `The native backend is not there (${backend().reason ?? 'FOVEA_BACKEND=reference'}): nothing to compare.`,
  );
  process.exit(1);
}
const machine = header(threads);
const results: object[] = [];
await benchLayers(convolutions.filter(({ name }) => name.includes(options.filter)));
await benchModels(models.filter(({ name }) => name.includes(options.filter)));
if ('event-loop'.includes(options.filter)) await benchEventLoop();
if (options.json) {
  writeFileSync(options.json, `${JSON.stringify({ machine, results }, null, 2)}\n`);
  console.log(`\nwritten: ${options.json}`);
}

async function benchLayers(layers: readonly ConvolutionShape[]): Promise<void> {
  if (layers.length === 0) return;
  console.log('\nconvolutions: median of each pass, float32; the reference is timed on fewer images and scaled\n');
  const table = new Table([
    { title: 'layer', width: 22 },
    { title: 'pass', width: 10 },
    { title: 'ms', width: 8 },
    { title: 'min ms', width: 8 },
    { title: 'GFLOP/s', width: 8 },
    { title: 'of peak', width: 8 },
    { title: 'reference ms', width: 12 },
    { title: 'times faster', width: 12 },
  ]);
  const faster: number[] = [];
  for (const layer of layers) {
    for (const pass of passes) faster.push(await benchPass(layer, pass, table));
  }
  console.log(`\ngeometric mean of "times faster": ${format(geometricMean(faster))}`);
}

async function benchPass(layer: ConvolutionShape, pass: Pass, table: Table): Promise<number> {
  const perImage = flops(layer) / layer.batch;
  const few = Math.max(1, Math.min(layer.batch, Math.floor(referenceFlops / perImage)));
  const reference = convolutionBench(layer, pass, { backend: 'reference', batch: few });
  const native = convolutionBench(layer, pass, { backend: 'native', threads });
  const error = relativeError(await native.resultOf(few), await reference.resultOf(few));
  const referenceMs = reference.milliseconds() * (layer.batch / few);
  reference.dispose();
  const bound = errorBound('highest', productsOf(layer, pass, few));
  if (!(error <= bound)) {
    table.row(layer.name, pass, `WRONG: error ${error.toExponential(1)}, allowed ${bound.toExponential(1)}`);
    process.exitCode = 1;
    native.dispose();
    return Number.NaN;
  }
  const before = peakNow(threads);
  const timing = await measure(() => native.once());
  const peakGflops = Math.max(before, peakNow(threads));
  const gflops = flops(layer) / timing.median / 1e6;
  const ratio = referenceMs / timing.median;
  table.row(layer.name, pass, timing.median, timing.minimum, gflops, percent(gflops / peakGflops), referenceMs, ratio);
  results.push({
    kind: 'layer',
    name: layer.name,
    pass,
    ...timing,
    gflops,
    share: gflops / peakGflops,
    referenceMs,
    ratio,
    error,
    algorithm: native.describe(),
  });
  native.dispose();
  return ratio;
}

async function benchModels(shapes: readonly ModelShape[]): Promise<void> {
  if (shapes.length === 0) return;
  console.log('\ntraining steps (forward, cross entropy, backward, SGD with momentum): images per second\n');
  const table = new Table([
    { title: 'model', width: 12 },
    { title: 'batch', width: 6 },
    { title: 'ms/step', width: 9 },
    { title: 'images/s', width: 9 },
    { title: 'reference images/s', width: 18 },
    { title: 'times faster', width: 12 },
    { title: '', width: 13 },
  ]);
  for (const shape of shapes) {
    const result = await compareSteps(shape, threads, tolerance);
    if ('wrong' in result) {
      table.row(shape.name, `WRONG: ${result.wrong}`);
      process.exitCode = 1;
      continue;
    }
    const { native, referencePerSecond } = result;
    const perSecond = (shape.inputShape[0] * 1000) / native.median;
    const ratio = perSecond / referencePerSecond;
    const goal = ratio >= lenetGoal ? 'met' : 'NOT met';
    table.row(
      shape.name,
      String(shape.inputShape[0]),
      native.median,
      perSecond,
      referencePerSecond,
      ratio,
      shape.name === 'lenet' ? `goal ${lenetGoal}: ${goal}` : '',
    );
    results.push({
      kind: 'step',
      name: shape.name,
      ...native,
      perSecond,
      referencePerSecond,
      ratio,
    });
  }
}

async function benchEventLoop(): Promise<void> {
  const { p99, worst, steps } = await eventLoopDelay(threads);
  console.log(`\nevent loop during ${steps} ResNet-18 steps: delay p99 ${format(p99)} ms, worst ${format(worst)} ms`);
  results.push({ kind: 'event loop', p99, worst, steps });
}
