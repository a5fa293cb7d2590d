import type { Precision } from '../../lib/index.js';
import type { TypedArray } from '../../lib/tensor.js';
import { peakNow } from '../helpers/machine.js';
import { format, percent, Table } from '../helpers/table.js';
import { median } from '../helpers/timing.js';
import type { TorchProcess } from '../helpers/torch-process.js';
import { type Contender, own, ratioOf, takeTurns } from '../helpers/turns.js';
import { errorBound, productsOf, relativeError } from '../ops/accuracy.js';
import { type ConvolutionBench, convolutionBench, type Pass, passes } from '../ops/conv2d.js';
import { type ConvolutionShape, flops } from '../shapes/convolutions.js';
import type { LayerResult } from './goals.js';
import { torchType } from './options.js';

export interface LayerBench {
  readonly torch: TorchProcess;
  readonly threads: number;
  readonly rounds: number;
  readonly precisions: readonly Precision[];
}

/** Seconds for each contender in each round. */
const turn = 0.25;

/** Each pass of each layer in each precision against PyTorch's type for it, after checking that it is right. */
export async function benchLayers(layers: readonly ConvolutionShape[], bench: LayerBench): Promise<LayerResult[]> {
  if (layers.length === 0) return [];
  console.log('');
  const table = new Table([
    { title: 'layer', width: 20 },
    { title: 'pass', width: 10 },
    { title: 'precision', width: 9 },
    { title: 'torch ms', width: 9 },
    { title: 'fovea ms', width: 9 },
    { title: 'GFLOP/s', width: 8 },
    { title: 'of FMA peak', width: 11 },
    { title: 'ratio', width: 6 },
    { title: 'min..max', width: 12 },
  ]);
  const results: LayerResult[] = [];
  for (const layer of layers) {
    for (const pass of passes) results.push(...(await benchPass(layer, pass, bench, table)));
  }
  return results;
}

async function benchPass(layer: ConvolutionShape, pass: Pass, bench: LayerBench, table: Table): Promise<LayerResult[]> {
  const { threads, rounds } = bench;
  const truth = await exactResult(layer, pass);
  const checked: Program[] = [];
  for (const precision of bench.precisions) {
    const program = convolutionBench(layer, pass, { backend: 'native', threads, precision });
    const error = relativeError(await program.resultOf(1), truth);
    const bound = errorBound(precision, productsOf(layer, pass, 1));
    if (error <= bound) {
      checked.push({ precision, program, error });
      continue;
    }
    table.row(layer.name, pass, precision, `WRONG: error ${error.toExponential(1)}, allowed ${bound.toExponential(1)}`);
    process.exitCode = 1;
    program.dispose();
  }
  const contenders = [
    ...[...new Set(checked.map(({ precision }) => torchType[precision]))].map((dtype) => torchLayer(dtype)),
    ...checked.map(({ precision, program }) => own(precision, () => program.once())),
  ];
  const before = peakNow(threads);
  const times = await takeTurns(contenders, rounds, turn);
  const peak = Math.max(before, peakNow(threads));
  return checked.map((one) => report(one));

  function torchLayer(dtype: string): Contender {
    const time = async (seconds: number) =>
      median((await bench.torch.ask<{ milliseconds: number[] }>({ layer, pass, dtype, seconds })).milliseconds);
    return { name: dtype, time };
  }

  function report({ precision, program, error }: Program) {
    const rounds = { torch: times.get(torchType[precision]) ?? [], fovea: times.get(precision) ?? [] };
    const torchMs = median(rounds.torch);
    const foveaMs = median(rounds.fovea);
    const gflops = flops(layer) / foveaMs / 1e6;
    const ratio = ratioOf(rounds.torch, rounds.fovea);
    const range = `${format(ratio.worst)}..${format(ratio.best)}`;
    table.row(layer.name, pass, precision, torchMs, foveaMs, gflops, percent(gflops / peak), ratio.ratio, range);
    const algorithm = program.describe();
    program.dispose();
    const figures = { torchMs, foveaMs, gflops, peakGflops: peak, share: gflops / peak, ...ratio, rounds };
    return { kind: 'layer', name: layer.name, pass, precision, ...figures, error, algorithm } as const;
  }
}

interface Program {
  readonly precision: Precision;
  readonly program: ConvolutionBench;
  readonly error: number;
}

/** One image in double precision. */
async function exactResult(layer: ConvolutionShape, pass: Pass): Promise<TypedArray> {
  const reference = convolutionBench(layer, pass, { backend: 'reference', dtype: 'float64', batch: 1 });
  const result = await reference.resultOf(1);
  reference.dispose();
  return result;
}
