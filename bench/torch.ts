// npm run bench:torch -- --python DIR/bin/python: PyTorch and Fovea in turn, and the ratio of their times.
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { backend, compileForward, Tensor } from '../lib/index.js';
import { header, peakNow } from './helpers/machine.js';
import { format, percent, Table } from './helpers/table.js';
import { geometricMean, median, summarize } from './helpers/timing.js';
import { TorchProcess } from './helpers/torch-process.js';
import { convolutionBench, type Pass, passes, relativeError } from './ops/conv2d.js';
import { type ConvolutionShape, convolutions, flops } from './shapes/convolutions.js';
import { largeModels, type ModelShape, models } from './shapes/models.js';
import { trainingStep } from './train-step.js';

const { values: options } = parseArgs({
  options: {
    python: { type: 'string', default: process.env.FOVEA_PYTHON ?? '' },
    filter: { type: 'string', default: '' },
    threads: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    json: { type: 'string' },
  },
});
if (options.python === '') {
  console.log('npm run bench:torch -- --python PATH [--filter TEXT] [--threads N] [--rounds N] [--json FILE]');
  console.log('PATH: a Python that can import torch (or set FOVEA_PYTHON). Nothing was measured.');
  process.exit(0);
}

const threads = options.threads === undefined ? backend().threads : Number(options.threads);
const rounds = Number(options.rounds);
const machine = header(threads);
const { process: torch, version } = await TorchProcess.start(options.python, threads);
console.log(`torch     ${version}, eager, channels_last, float32, ${threads} threads, ${torch.allocator}`);
console.log(
  `method    ${rounds} rounds, PyTorch and Fovea in turn; each figure the median of its rounds; ratio = PyTorch time / Fovea time`,
);
const results: object[] = [];
await layers();
await networks();
torch.stop();
if (options.json) writeFileSync(options.json, `${JSON.stringify({ machine, torch: version, results }, null, 2)}\n`);

/** Times both in turn; the ratio of each round is taken within it, so a machine that changes speed does not count. */
async function duel(request: object, seconds: number, once: () => Promise<number>) {
  const torchMs: number[] = [];
  const foveaMs: number[] = [];
  for (let round = 0; round < rounds; round++) {
    torchMs.push(summarize(await torch.measure({ ...request, seconds })).median);
    await once();
    const times: number[] = [];
    const end = performance.now() + seconds * 1000;
    while (times.length < 3 || performance.now() < end) times.push(await once());
    foveaMs.push(summarize(times).median);
  }
  const ratios = torchMs.map((ms, i) => ms / (foveaMs[i] as number));
  return {
    torchMs: median(torchMs),
    foveaMs: median(foveaMs),
    ratio: median(ratios),
    worst: Math.min(...ratios),
    best: Math.max(...ratios),
  };
}

async function layers(): Promise<void> {
  const chosen = convolutions.filter(({ name }) => name.includes(options.filter));
  if (chosen.length === 0) return;
  console.log('');
  const table = new Table([
    { title: 'layer', width: 22 },
    { title: 'pass', width: 10 },
    { title: 'torch ms', width: 9 },
    { title: 'fovea ms', width: 9 },
    { title: 'GFLOP/s', width: 8 },
    { title: 'of peak', width: 8 },
    { title: 'ratio', width: 6 },
    { title: 'min..max', width: 12 },
  ]);
  const ratios: Record<Pass, number[]> = { forward: [], gradInput: [], gradWeight: [] };
  for (const layer of chosen) for (const pass of passes) await layerPass(layer, pass, table, ratios[pass]);
  for (const pass of passes) console.log(`geometric mean, ${pass}: ${format(geometricMean(ratios[pass]))}`);
}

async function layerPass(layer: ConvolutionShape, pass: Pass, table: Table, ratios: number[]): Promise<void> {
  const error = await check(layer, pass);
  if (!(error <= 1e-4)) {
    table.row(layer.name, pass, `WRONG: ${error}`);
    process.exitCode = 1;
    return;
  }
  const fovea = convolutionBench(layer, pass, { backend: 'native', threads });
  const before = peakNow(threads);
  const duelled = await duel({ layer, pass, dtype: 'float32' }, 0.25, () => fovea.once());
  const peakGflops = Math.max(before, peakNow(threads));
  const gflops = flops(layer) / duelled.foveaMs / 1e6;
  const range = `${format(duelled.worst)}..${format(duelled.best)}`;
  table.row(
    layer.name,
    pass,
    duelled.torchMs,
    duelled.foveaMs,
    gflops,
    percent(gflops / peakGflops),
    duelled.ratio,
    range,
  );
  ratios.push(duelled.ratio);
  results.push({
    kind: 'layer',
    name: layer.name,
    pass,
    ...duelled,
    gflops,
    share: gflops / peakGflops,
    algorithm: fovea.describe(),
  });
  fovea.dispose();
}

/** Against the reference backend, on one image. */
async function check(layer: ConvolutionShape, pass: Pass): Promise<number> {
  const benches = (['native', 'reference'] as const).map((name) =>
    convolutionBench(layer, pass, { backend: name, batch: 1 }),
  );
  for (const bench of benches) await bench.once();
  const [native, reference] = benches.map((bench) => bench.result());
  for (const bench of benches) bench.dispose();
  return relativeError(native ?? new Float32Array(), reference ?? new Float32Array());
}

async function networks(): Promise<void> {
  const chosen = [...models, ...largeModels].filter(({ name }) => name.includes(options.filter));
  if (chosen.length === 0) return;
  console.log('');
  const table = new Table([
    { title: 'model', width: 10 },
    { title: 'batch', width: 6 },
    { title: 'mode', width: 6 },
    { title: 'torch img/s', width: 12 },
    { title: 'fovea img/s', width: 12 },
    { title: 'ratio', width: 6 },
    { title: 'min..max', width: 12 },
  ]);
  for (const shape of chosen) for (const mode of ['train', 'infer'] as const) await network(shape, mode, table);
}

async function network(shape: ModelShape, mode: 'train' | 'infer', table: Table): Promise<void> {
  const { name, inputShape, classes } = shape;
  const fovea = mode === 'train' ? trainer(shape) : inference(shape);
  const duelled = await duel({ model: name, mode, inputShape, classes, dtype: 'float32' }, 1, fovea.once);
  const perSecond = (ms: number) => (inputShape[0] * 1000) / ms;
  const range = `${format(duelled.worst)}..${format(duelled.best)}`;
  table.row(
    name,
    String(inputShape[0]),
    mode,
    perSecond(duelled.torchMs),
    perSecond(duelled.foveaMs),
    duelled.ratio,
    range,
  );
  results.push({ kind: 'model', name, mode, batch: inputShape[0], ...duelled });
  fovea.dispose();
}

function trainer(shape: ModelShape) {
  const { compiled, once } = trainingStep(shape, { threads });
  return { once: async () => (await once()).milliseconds, dispose: () => compiled.dispose() };
}

function inference(shape: ModelShape) {
  const forward = compileForward(shape.make(), { inputShape: shape.inputShape, threads });
  const x = Tensor.randn(shape.inputShape, { seed: 2 });
  const once = async () => {
    const start = performance.now();
    await forward.run(x);
    return performance.now() - start;
  };
  return { once, dispose: () => forward.dispose() };
}
