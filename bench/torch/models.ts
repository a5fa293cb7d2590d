import { compileForward, type Precision, Tensor } from '../../lib/index.js';
import { mebibytes } from '../helpers/memory.js';
import { format, Table } from '../helpers/table.js';
import { median } from '../helpers/timing.js';
import { type TorchProcess, TorchRefusal } from '../helpers/torch-process.js';
import { type Contender, own, type Rounds, ratioOf, takeTurns } from '../helpers/turns.js';
import type { ModelShape } from '../shapes/models.js';
import { trainingStep } from '../train-step.js';
import type { ModelResult } from './goals.js';
import { type MemoryProbe, type PeakBytes, peakBytes } from './memory.js';
import { torchType } from './options.js';

export interface ModelBench extends MemoryProbe {
  readonly torch: TorchProcess;
  readonly threads: number;
  readonly rounds: number;
  readonly precisions: readonly Precision[];
}

type Mode = ModelResult['mode'];

/** Seconds for each contender in each round. */
const turn = 1;

/** Training steps and inference against the better of PyTorch's eager mode and, where it can run, torch.compile. */
export async function benchModels(shapes: readonly ModelShape[], bench: ModelBench): Promise<ModelResult[]> {
  if (shapes.length === 0) return [];
  console.log('');
  const table = new Table([
    { title: 'model', width: 9 },
    { title: 'batch', width: 5 },
    { title: 'mode', width: 5 },
    { title: 'precision', width: 9 },
    { title: 'torch', width: 8 },
    { title: 'img/s', width: 7 },
    { title: 'fovea img/s', width: 11 },
    { title: 'ratio', width: 6 },
    { title: 'min..max', width: 12 },
    { title: 'torch MiB', width: 9 },
    { title: 'fovea MiB', width: 9 },
  ]);
  const results: ModelResult[] = [];
  for (const shape of shapes) {
    for (const mode of ['train', 'infer'] as const) results.push(...(await benchModel(shape, mode, bench, table)));
  }
  return results;
}

async function benchModel(shape: ModelShape, mode: Mode, bench: ModelBench, table: Table): Promise<ModelResult[]> {
  const programs = bench.precisions.map((precision) => ({ precision, ...foveaProgram(shape, mode, precision, bench) }));
  const types = [...new Set(bench.precisions.map((precision) => torchType[precision]))];
  const torches = await runnable(types.flatMap((dtype) => [false, true].map((compiled) => request(dtype, compiled))));
  const contenders = [
    ...torches.map((asked) => torchContender(asked)),
    ...programs.map(({ precision, once }) => own(precision, once)),
  ];
  const times = await takeTurns(contenders, bench.rounds, turn);
  const results: ModelResult[] = [];
  for (const { precision, dispose } of programs) {
    dispose();
    results.push(await report(precision, times));
  }
  return results;

  function request(dtype: string, compiled: boolean) {
    const { name, inputShape, classes } = shape;
    return { model: name, mode, inputShape, classes, dtype, compiled };
  }

  function torchContender(asked: ReturnType<typeof request>): Contender {
    const time = async (seconds: number) =>
      median((await bench.torch.ask<{ milliseconds: number[] }>({ ...asked, seconds })).milliseconds);
    return { name: nameOf(asked.dtype, asked.compiled), time };
  }

  // Compiles once before anything is timed, and leaves out what PyTorch cannot do.
  async function runnable(asked: readonly ReturnType<typeof request>[]) {
    const can: ReturnType<typeof request>[] = [];
    for (const one of asked) {
      try {
        await bench.torch.ask({ ...one, seconds: 0 });
        can.push(one);
      } catch (error) {
        if (!(error instanceof TorchRefusal) || !one.compiled) throw error;
        console.log(`torch.compile cannot run ${shape.name}, ${mode}, ${one.dtype}: ${error.message}`);
      }
    }
    return can;
  }

  async function report(precision: Precision, times: Rounds): Promise<ModelResult> {
    const best = fasterTorch(times, torchType[precision]);
    const fovea = times.get(precision) ?? [];
    const ratio = ratioOf(best.rounds, fovea);
    const memory: Partial<PeakBytes> = mode === 'train' ? await peakBytes(shape, precision, bench) : {};
    const { torch: torchPeakBytes = null, fovea: foveaPeakBytes = null } = memory;
    const [batch] = shape.inputShape;
    const perSecond = (milliseconds: number) => (batch * 1000) / milliseconds;
    const figures = {
      torchMode: best.mode,
      torchPerSecond: perSecond(median(best.rounds)),
      foveaPerSecond: perSecond(median(fovea)),
    };
    table.row(
      shape.name,
      String(batch),
      mode,
      precision,
      best.mode,
      figures.torchPerSecond,
      figures.foveaPerSecond,
      ratio.ratio,
      `${format(ratio.worst)}..${format(ratio.best)}`,
      torchPeakBytes === null ? '' : mebibytes(torchPeakBytes),
      foveaPeakBytes === null ? '' : mebibytes(foveaPeakBytes),
    );
    const of = { kind: 'model', name: shape.name, mode, batch, precision } as const;
    return { ...of, ...figures, ...ratio, torchPeakBytes, foveaPeakBytes, ...{ rounds: Object.fromEntries(times) } };
  }
}

const nameOf = (dtype: string, compiled: boolean) => `${dtype} ${compiled ? 'compile' : 'eager'}`;

function fasterTorch(times: Rounds, dtype: string): { mode: string; rounds: readonly number[] } {
  const eager = times.get(nameOf(dtype, false)) ?? [];
  const compiled = times.get(nameOf(dtype, true));
  if (compiled && median(compiled) < median(eager)) return { mode: 'compile', rounds: compiled };
  return { mode: 'eager', rounds: eager };
}

function foveaProgram(shape: ModelShape, mode: Mode, precision: Precision, { threads }: ModelBench) {
  if (mode === 'train') {
    const { compiled, once } = trainingStep(shape, { threads, precision });
    return { once: async () => (await once()).milliseconds, dispose: () => compiled.dispose() };
  }
  const forward = compileForward(shape.make(), { inputShape: shape.inputShape, threads, precision });
  const x = Tensor.randn(shape.inputShape, { seed: 2 });
  const once = async () => {
    const start = performance.now();
    await forward.run(x);
    return performance.now() - start;
  };
  return { once, dispose: () => forward.dispose() };
}
