import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Precision } from '../../lib/index.js';
import { TorchProcess } from '../helpers/torch-process.js';
import type { ModelShape } from '../shapes/models.js';
import { torchType } from './options.js';

export interface MemoryProbe {
  readonly python: string;
  readonly threads: number;
}

/** Resident memory at the peak of training steps beyond what the process had before the model. */
export interface PeakBytes {
  readonly torch: number;
  readonly fovea: number;
}

/** The second and third step find the optimizer's state and the allocator's caches in place. */
export const memorySteps = 3;

/** Each in a fresh process. PyTorch: eager mode, the lower of its own allocator and the one that it is timed with. */
export async function peakBytes(shape: ModelShape, precision: Precision, probe: MemoryProbe): Promise<PeakBytes> {
  const torch = [await torchPeak(shape, precision, probe, true), await torchPeak(shape, precision, probe, false)];
  const script = fileURLToPath(new URL('./memory-of-step.js', import.meta.url));
  const args = [script, shape.name, precision, String(probe.threads)];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return { torch: Math.min(...torch), fovea: Number(stdout) };
}

async function torchPeak(
  { name, inputShape, classes }: ModelShape,
  precision: Precision,
  { python, threads }: MemoryProbe,
  preload: boolean,
): Promise<number> {
  const torch = await TorchProcess.start(python, threads, { preload });
  const model = { model: name, mode: 'train', inputShape, classes, dtype: torchType[precision] };
  const { peakBytes } = await torch.ask<{ peakBytes: number }>({ ...model, memory: memorySteps });
  torch.stop();
  return peakBytes;
}
