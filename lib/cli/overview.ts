import { packageVersion } from '../backend/addon-path.js';
import { findNative } from '../backend/native.js';
import { type BackendInfo, backend } from '../backend/select.js';
import type { InMemorySplit } from '../data/array-dataset.js';
import { algorithmOf } from '../graph/passes.js';
import type { Module } from '../nn/module.js';
import type { CompiledStep } from '../train/compile-step.js';
import type { Settings } from './options.js';
import { count, type Output } from './terminal.js';

/** Says what computes: backend, CPU features, kernels. */
export function showBackend(output: Output, threads: number | undefined): BackendInfo {
  const info = backend();
  const used = info.name === 'native' ? (threads ?? info.threads) : 1;
  output.line(`Fovea ${packageVersion()}`);
  output.line(`backend   ${info.name}, ${info.isa}, ${used} ${used === 1 ? 'thread' : 'threads'}`);
  output.line(`CPU       ${info.cpu}`);
  const features = cpuFeatures(info.isa);
  if (features) output.line(`          ${features}`);
  if (info.reason) output.line(`          native is not in use: ${info.reason}`);
  return info;
}

/** What the kernels of a level use, and the level that the CPU has when it was capped. */
function cpuFeatures(isa: string): string | undefined {
  const features: Readonly<Record<string, string>> = {
    baseline: process.arch === 'x64' ? 'SSE2' : 'NEON',
    avx2: 'AVX2, FMA',
    avx512: 'AVX-512 F BW DQ VL, AVX2, FMA',
    avx512bf16: 'AVX-512 F BW DQ VL BF16, AVX2, FMA',
    amx: 'AMX BF16, AVX-512 F BW DQ VL BF16, AVX2, FMA',
  };
  const used = features[isa];
  const native = findNative().backend?.info;
  if (!used || !native) return undefined;
  const { l1d, l2, l3 } = native.caches;
  const kib = (bytes: number) =>
    bytes >= 2 ** 20 ? `${Math.round(bytes / 2 ** 20)} MiB` : `${Math.round(bytes / 1024)} KiB`;
  const capped =
    process.env.FOVEA_CPU && native.detected !== isa ? ` (capped by FOVEA_CPU; it has ${native.detected})` : '';
  return `${used}${capped}; caches ${kib(l1d)}, ${kib(l2)}, ${kib(l3)}`;
}

/** Joins with commas into lines of at most so many characters. */
function wrapped(pieces: readonly string[], width: number): string[] {
  const lines: string[] = [];
  for (const piece of pieces) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + piece.length + 2 <= width) lines[lines.length - 1] = `${last}, ${piece}`;
    else lines.push(piece);
  }
  return lines.map((line, i) => (i < lines.length - 1 ? `${line},` : line));
}

/** Which kernels the training step of this model runs, and for which operators. */
export function showKernels(output: Output, step: CompiledStep): void {
  const operators = new Map<string, Set<string>>();
  for (const pass of step.profile()) {
    // 'winograd 4x4: winograd_avx512, tiles 24, …' → 'winograd_avx512'
    const { operator } = pass;
    const kernel =
      algorithmOf(pass)
        .replace(/^([\w ]+: )+/, '')
        .replace(/ to (plain|blocked)/, '')
        .split(', ')[0] ?? '';
    if (kernel) operators.set(kernel, (operators.get(kernel) ?? new Set()).add(operator));
  }
  [...operators].forEach(([kernel, users], i) => {
    wrapped([...users], 76).forEach((line, j) => {
      const name = j === 0 ? kernel : '';
      const title = i + j === 0 ? 'kernels' : '';
      output.line(`${title.padEnd(10)}${name.padEnd(20)}  ${line}`);
    });
  });
}

export function showData(output: Output, name: string, set: InMemorySplit): void {
  const { imageShape, classes = [] } = set;
  const shape = imageShape.join('×');
  output.line(
    `data      ${name}: ${count(set.length)} training and ${count(set.test.length)} test images of ${shape}, ${classes.length} classes`,
  );
  const names = classes.join(', ');
  if (names.length <= 110) output.line(`classes   ${names}`);
}

export function showModel(output: Output, settings: Settings, model: Module, imageShape: readonly number[]): void {
  output.line();
  output.line(`model     ${settings.model}, for batches of ${settings.batchSize}`);
  const table = model.summary([settings.batchSize, ...imageShape]).toString();
  for (const line of table.split('\n')) output.line(`  ${line}`);
  output.line();
}
