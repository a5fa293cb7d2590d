import type { ProgramSpec, ProgramStep, ProgramValue, Spec } from '../backend/backend.js';
import { bytesOf } from '../backend/layout.js';
import { unreadWarnings } from '../geometry/window.js';
import { formatSpec, type Graph } from './graph.js';

/** A program as text: a header, a line per step, and warnings about what looks like a mistake. */
export function explainProgram(
  graph: Graph,
  runner: string,
  spec: ProgramSpec,
  descriptions: readonly string[],
): string {
  const rows = spec.steps.map((step, i) => stepRow(graph, spec, step, i, descriptions[i] ?? ''));
  const flops = rows.reduce((sum, row) => sum + row.flops, 0);
  const bytes = rows.reduce((sum, row) => sum + row.bytes, 0);
  const header =
    `${graph.name}: ${runner}, ${spec.steps.length} steps, ${(flops / 1e9).toFixed(3)} GFLOP, ` +
    `${mebibytes(bytes)} MiB touched, arena ${mebibytes(spec.arenaBytes)} MiB`;
  const titles = ['#', 'operator', 'output', 'layout', 'MiB', 'GFLOP', 'algorithm'];
  const table = formatTable([titles, ...rows.map((row) => row.cells)], [true, false, false, false, true, true, false]);
  const warnings = warningsOf(graph).map((warning) => `warning: ${warning}`);
  return [header, ...table, ...warnings].join('\n');
}

interface Row {
  readonly cells: string[];
  readonly flops: number;
  readonly bytes: number;
}

function stepRow(graph: Graph, spec: ProgramSpec, step: ProgramStep, index: number, description: string): Row {
  const operand = (id: number) => (id < 0 ? null : (spec.values[id] as ProgramValue));
  const inputs = step.inputs.map(operand);
  const outputs = step.outputs.map(operand);
  const operator = graph.nodes.find((node) => node.operator.name === step.operator)?.operator;
  const flops = operator?.cost(inputs, outputs, step.attributes).flops ?? 0; // none: a reorder or an assign
  const bytes = [...inputs, ...outputs].reduce((sum, value) => sum + (value ? bytesOf(value, value.layout) : 0), 0);
  const output = outputs.find((value) => value !== null);
  const cells = [
    String(index),
    fusedName(step),
    output ? formatSpec(output) : '-',
    output?.layout ?? '-',
    mebibytes(bytes),
    flops > 0 ? (flops / 1e9).toFixed(3) : '-',
    description.replace(`${step.operator}: `, ''), // native descriptions begin with the operator's name
  ];
  return { cells, flops, bytes };
}

/** Operands that stand for something that was fused into the operator: its name, and which input or output it is. */
const fusedOperands: Readonly<Record<string, readonly (readonly [name: string, 'inputs' | 'outputs', number])[]>> = {
  conv2d: [
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
