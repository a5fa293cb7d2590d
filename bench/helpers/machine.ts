import { availableParallelism, release } from 'node:os';
import { findNative } from '../../lib/backend/native.js';
import { format } from './table.js';

/** What a bench ran on, and the limit that its figures are held against. */
export interface Machine {
  readonly cpu: string;
  readonly isa: string;
  readonly cap: string;
  readonly threads: number;
  readonly node: string;
  readonly compiler: string;
  /** float32 multiply-adds in registers, at this instruction set and number of threads. */
  readonly peakGflops: number;
  /** Likewise of bfloat16; 0 where the CPU has no such instruction. */
  readonly bf16Gflops: number;
  /** GB/s over 128 MiB. */
  readonly bandwidth: number;
}

/** Float32 FMA peak right now: clocks and neighbours change it within seconds, so each row is held against its own. */
export function peakNow(threads: number): number {
  return findNative().backend?.measurePeak(threads) ?? Number.NaN;
}

/** Measures the machine and prints it. */
export function header(threads: number): Machine {
  const { backend, reason } = findNative();
  if (!backend) throw new Error(`the native backend is not there: ${reason}`);
  const { info } = backend;
  const peakGflops = backend.measurePeak(threads);
  const machine: Machine = {
    cpu: info.cpu,
    isa: info.isa,
    cap: process.env.FOVEA_CPU ?? 'none',
    threads,
    node: process.version,
    compiler: info.compiler,
    peakGflops,
    bf16Gflops: backend.measurePeak(threads, 'bfloat16'),
    bandwidth: backend.measureBandwidth(threads, 2 ** 27),
  };
  console.log(`cpu       ${machine.cpu}, ${availableParallelism()} cores to use, kernel ${release()}`);
  console.log(
    `isa       ${machine.isa} (FOVEA_CPU cap: ${machine.cap}), ${threads} threads, node ${machine.node}, ${machine.compiler}`,
  );
  const bf16 = machine.bf16Gflops > 0 ? `, ${format(machine.bf16Gflops)} of bfloat16` : '';
  console.log(
    `peak      ${format(peakGflops)} GFLOP/s of float32 FMA${bf16}, ${format(machine.bandwidth)} GB/s of memory, measured just now`,
  );
  return machine;
}
