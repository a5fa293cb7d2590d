import type { Kept, Limits, ProgramSpec, ProgramStep, ProgramValue, Spec } from '../backend/backend.js';
import { unreadWarnings } from '../geometry/window.js';
import { formatSpec, type Graph } from './graph.js';
import { algorithmOf, limitOf, operandsOf, type Pass, unitsOf } from './passes.js';

/** What a program is, and what its last run took. */
export interface Explained {
  readonly graph: Graph;
  readonly spec: ProgramSpec;
  /** `native backend (avx512), 2 threads` */
  readonly runner: string;
  readonly passes: readonly Pass[];
  readonly memory: ProgramMemory;
  readonly kept?: Kept | undefined;
  /** Where they are known and the program has run: each pass's time as a share of the limit that binds it. */
  readonly limits?: Limits | undefined;
}

/** Bytes at the peak of a run. */
export interface ProgramMemory {
  /** Intermediate values, the operators' workspace, and what is kept of weights. */
  readonly own: number;
  /** Arrays that the caller holds: inputs, parameters, the optimizer's state, results. */
  readonly given: number;
}

/** A program as text: a header, a line per step, and warnings about what looks like a mistake. */
export function explainProgram({ graph, spec, runner, passes, memory, kept, limits }: Explained): string {
  const sum = (of: (pass: Pass) => number) => passes.reduce((total, pass) => total + of(pass), 0);
  const { bytes: keptBytes, milliseconds: looking } = kept ?? { bytes: 0, milliseconds: 0 };
  const milliseconds = sum((pass) => pass.milliseconds) + looking;
  const header = [
    `${graph.name}: ${runner}, ${passes.length} steps, ${(sum(({ flops }) => flops) / 1e9).toFixed(3)} GFLOP, ` +
      `${mebibytes(sum(({ bytes }) => bytes))} MiB over memory${milliseconds > 0 ? `, ${milliseconds.toFixed(2)} ms` : ''}`,
    `peak memory ${mebibytes(memory.own + memory.given)} MiB: arena and workspace ${mebibytes(memory.own - keptBytes)}, ` +
      `parameters and data ${mebibytes(memory.given)}${keptBytes > 0 ? `, kept of weights ${mebibytes(keptBytes)}` : ''}`,
    ...(looking > 0 ? [`${looking.toFixed(3)} ms of it to see whether weights are what they were`] : []),
    ...(limits && milliseconds > 0 ? [limitsLine(passes, limits)] : []),
  ];
  const columns = columnsFor(milliseconds > 0, limits);
  const rows = passes.map((pass, i) => columns.map(({ cell }) => cell(pass, i, spec)));
  const table = formatTable(
    [columns.map(({ title }) => title), ...rows],
    columns.map(({ right }) => right === true),
  );
  const warnings = warningsOf(graph).map((warning) => `warning: ${warning}`);
  return [...header, ...table, ...warnings].join('\n');
}

/** The whole program against its limits. */
function limitsLine(passes: readonly Pass[], limits: Limits): string {
  const time = { arithmetic: 0, memory: 0 };
  for (const pass of passes) time[limitOf(pass, limits).binds] += pass.milliseconds;
  const ran = passes.filter((pass) => pass.milliseconds > 0);
  const least = ran.reduce((sum, pass) => sum + limitOf(pass, limits).milliseconds, 0);
  const whole = time.arithmetic + time.memory;
  const used = new Set(['float32', ...passes.map(unitsOf)] as const);
  const peaks = [...used].map((units) => `${units} ${limits[units].toFixed(0)}`);
  return (
    `limits: ${peaks.join(', ')} GFLOP/s, memory ${limits.bandwidth(2 ** 27).toFixed(0)} GB/s; ` +
    `${percent(time.arithmetic / whole)} of the time in passes bound by arithmetic, ` +
    `${percent(time.memory / whole)} by memory; at the limits all would take ${percent(least / whole)} of it`
  );
}

interface Column {
  readonly title: string;
  readonly right?: boolean;
  cell(pass: Pass, index: number, spec: ProgramSpec): string;
}

function columnsFor(ran: boolean, limits: Limits | undefined): Column[] {
  const columns: Column[] = [
    { title: '#', right: true, cell: (_, i) => String(i) },
    { title: 'operator', cell: (_, i, spec) => fusedName(spec.steps[i] as ProgramStep) },
    { title: 'output', cell: (_, i, spec) => (outputOf(spec, i) ? formatSpec(outputOf(spec, i) as Spec) : '-') },
    { title: 'layout', cell: (_, i, spec) => outputOf(spec, i)?.layout ?? '-' },
    { title: 'MiB', right: true, cell: ({ bytes }) => mebibytes(bytes) },
    { title: 'GFLOP', right: true, cell: ({ flops }) => (flops > 0 ? (flops / 1e9).toFixed(3) : '-') },
  ];
  if (ran) columns.push({ title: 'ms', right: true, cell: ({ milliseconds }) => milliseconds.toFixed(3) });
  if (ran && limits) columns.push({ title: 'of limit', right: true, cell: (pass) => shareOfLimit(pass, limits) });
  columns.push({ title: 'algorithm', cell: algorithmOf });
  return columns;
}

/** `memory  71 %`: what binds, and how much of the pass's time it explains. */
function shareOfLimit(pass: Pass, limits: Limits): string {
  if (pass.milliseconds <= 0) return '-';
  const { binds, milliseconds } = limitOf(pass, limits);
  return `${binds} ${percent(milliseconds / pass.milliseconds).padStart(5)}`;
}

function outputOf(spec: ProgramSpec, index: number): ProgramValue | undefined {
  const [, outputs] = operandsOf(spec, spec.steps[index] as ProgramStep);
  return outputs.find((value) => value !== null) ?? undefined;
}

const percent = (share: number) => `${(100 * share).toFixed(0)} %`;

/** Operands that stand for something that was fused into the operator: its name, and which input or output it is. */
const fusedOperands: Readonly<Record<string, readonly (readonly [name: string, 'inputs' | 'outputs', number])[]>> = {
  conv2d: [
    ['add', 'inputs', 3],
    ['statistics', 'outputs', 1],
    ['mask', 'outputs', 3],
  ],
  conv2dGradInput: [
    ['add', 'inputs', 2],
    ['mask', 'inputs', 3],
    ['sums', 'outputs', 1],
  ],
  batchNormTrain: [
    ['add', 'inputs', 5],
    ['mask', 'outputs', 5],
  ],
  batchNormInfer: [['add', 'inputs', 5]],
};

/** `batchNormTrain+add+mask+relu`: the operator and what was fused into it. */
function fusedName(step: ProgramStep): string {
  const { operator, attributes } = step;
  const fused = (fusedOperands[operator] ?? []).filter(([, side, i]) => (step[side][i] ?? -1) >= 0);
  const activation =
    attributes.activation === undefined || attributes.activation === 'none' ? [] : [attributes.activation];
  return [operator, ...fused.map(([name]) => name), ...activation].join('+');
}

function mebibytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(2);
}

function formatTable(rows: readonly string[][], right: readonly boolean[]): string[] {
  const widths = right.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) => {
    const cells = row.map((cell, i) => (right[i] ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)));
    return cells.join('  ').trimEnd();
  });
}

/** Strides that leave the last rows or columns of an input unread, once for each different case. */
export function warningsOf(graph: Graph): string[] {
  const warnings = graph.nodes.flatMap(({ operator, inputs, attributes }) => {
    const shape = graph.values[inputs[0] ?? -1]?.shape;
    const kernel = windowOf(operator.name, graph.values[inputs[1] ?? -1], attributes.kernelSize);
    if (!shape || !kernel || attributes.ceilMode === true) return [];
    const [stride, padding, dilation] = ['stride', 'padding', 'dilation'].map((key) => numbersOf(attributes[key]));
    const axes = [0, 1].map((axis) => ({
      size: shape[2 + axis] as number,
      kernel: kernel[axis] as number,
      stride: stride?.[axis] ?? 1,
      dilation: dilation?.[axis] ?? 1,
      before: padding?.[2 * axis] ?? 0,
      after: padding?.[2 * axis + 1] ?? 0,
    }));
    return unreadWarnings(axes).map((warning) => `${operator.name}: ${warning}`);
  });
  return [...new Set(warnings)];
}

function numbersOf(attribute: unknown): readonly number[] | undefined {
  return Array.isArray(attribute) ? attribute : undefined;
}

const windowed: ReadonlySet<string> = new Set(['maxPool2d', 'avgPool2d', 'im2col']);

function windowOf(operator: string, weight: Spec | undefined, kernelSize: unknown): readonly number[] | undefined {
  if (operator === 'conv2d') return weight?.shape.slice(2);
  return windowed.has(operator) && Array.isArray(kernelSize) ? kernelSize : undefined;
}
