import type { Attributes } from '../backend/backend.js';
import { checkBatchShape } from '../geometry/options.js';
import type { ReceptiveField } from '../geometry/receptive-field.js';
import type { Graph, GraphNode } from '../graph/graph.js';
import { trace } from '../graph/trace.js';
import { Traced } from '../ops/operator.js';
import type { Tensor } from '../tensor.js';
import type { Module } from './module.js';

/** One layer of a model. */
export interface SummaryRow {
  /** Its path in the model: '0', 'layer1.conv'. */
  readonly path: string;
  /** Kind and hyperparameters. */
  readonly layer: string;
  readonly outputShape: readonly number[];
  /** Numbers that are trained. */
  readonly parameters: number;
  /** Input pixels (height, width) that one output element sees; undefined when it sees the whole image. */
  readonly receptiveField: readonly [number, number] | undefined;
}

/** The layers of a model in the order in which they run. */
export interface Summary {
  readonly rows: readonly SummaryRow[];
  readonly parameters: number;
  /** A table. */
  toString(): string;
}

/**
 * Layers with output shapes, parameter counts and receptive fields, found by tracing the model.
 * @param inputShape  with the batch: [N, C, H, W]
 * @throws FoveaError ERR_SHAPE naming the layer that the shape does not fit
 */
export function summarize(model: Module, inputShape: readonly number[]): Summary {
  checkBatchShape('summary', inputShape);
  const { graph, calls } = traceLayers(model, inputShape);
  const fields = receptiveFields(graph);
  const counted = new Set<Tensor>();
  const rows = calls.map(({ path, module, output }): SummaryRow => {
    const own = module.parameters().filter((parameter) => !counted.has(parameter)); // a shared layer counts once
    for (const parameter of own) counted.add(parameter);
    const field = fields.get(output.id);
    return {
      path,
      layer: module.describe(),
      outputShape: output.shape,
      parameters: own.reduce((sum, parameter) => sum + parameter.size, 0),
      receptiveField: field && [field[0].size, field[1].size],
    };
  });
  const parameters = model.parameters().reduce((sum, parameter) => sum + parameter.size, 0);
  return { rows, parameters, toString: () => formatTable(rows, parameters) };
}

interface Call {
  readonly path: string;
  readonly module: Module;
  readonly output: Traced;
}

/** Traces the model while each of its leaves notes what it returns. */
function traceLayers(model: Module, inputShape: readonly number[]): { graph: Graph; calls: Call[] } {
  const calls: Call[] = [];
  const modules = [...model.namedModules()];
  const modes = modules.map(([, module]) => module.training);
  const leaves = modules.filter(([, module]) => module.children().length === 0);
  for (const [path, module] of leaves) {
    const forward = module.forward.bind(module);
    module.forward = (x) => {
      const output = forward(x);
      if (output instanceof Traced) calls.push({ path, module, output });
      return output;
    };
  }
  model.eval();
  try {
    const graph = trace((x) => model.forward(x), [{ shape: inputShape, dtype: 'float32' }], 'summary');
    return { graph, calls };
  } finally {
    modules.forEach(([, module], i) => {
      module.training = modes[i] as boolean;
    });
    for (const [, module] of leaves) Reflect.deleteProperty(module, 'forward'); // uncovers the method of the class
  }
}

type Field = readonly [height: ReceptiveField, width: ReceptiveField];

const pixel: Field = [
  { size: 1, jump: 1 },
  { size: 1, jump: 1 },
];

// These look at the whole image, or mix positions: nothing after them has a receptive field of its own.
const global = new Set(['linear', 'matmul', 'adaptiveAvgPool2d', 'reshape', 'im2col', 'col2im']);

/** Per value of the graph; absent where an element sees everything. */
function receptiveFields(graph: Graph): Map<number, Field> {
  const fields = new Map<number, Field>(graph.inputs.map((id) => [id, pixel]));
  for (const node of graph.nodes) {
    const data = node.inputs.filter((id) => fields.has(id));
    const covered = data.map((id) => fields.get(id) as Field);
    if (covered.length === 0 || global.has(node.operator.name)) continue;
    const widest = covered.reduce((a, b) => [wider(a[0], b[0]), wider(a[1], b[1])]);
    const field = widen(widest, windowOf(graph, node));
    for (const id of node.outputs) if (id >= 0) fields.set(id, field);
  }
  return fields;
}

const wider = (a: ReceptiveField, b: ReceptiveField): ReceptiveField => (a.size >= b.size ? a : b);

interface Window {
  readonly kernel: readonly number[];
  readonly stride: readonly number[];
  readonly dilation: readonly number[];
}

/** The window that an operator slides, [height, width]; undefined for those that work element by element. */
function windowOf(graph: Graph, { operator, inputs, attributes }: GraphNode): Window | undefined {
  const pair = (name: string) => (attributes as Attributes)[name] as readonly number[] | undefined;
  const weight = operator.name === 'conv2d' ? graph.values[inputs[1] as number] : undefined;
  const kernel = weight ? weight.shape.slice(2) : pair('kernelSize');
  if (!kernel) return undefined;
  return { kernel, stride: pair('stride') ?? [1, 1], dilation: pair('dilation') ?? [1, 1] };
}

/** r ← r + d·(k − 1)·jump, jump ← jump·s (Araujo, Norris, Sim, Distill 2019). */
function widen(field: Field, window: Window | undefined): Field {
  if (!window) return field;
  const { kernel, stride, dilation } = window;
  const along = (axis: 0 | 1): ReceptiveField => ({
    size: field[axis].size + (dilation[axis] as number) * ((kernel[axis] as number) - 1) * field[axis].jump,
    jump: field[axis].jump * (stride[axis] as number),
  });
  return [along(0), along(1)];
}

function formatTable(rows: readonly SummaryRow[], parameters: number): string {
  const header = ['layer', '', 'output', 'receptive field', 'parameters'];
  const cells = rows.map((row) => [
    row.path,
    row.layer,
    row.outputShape.join('×'),
    row.receptiveField ? row.receptiveField.join('×') : 'all',
    row.parameters.toLocaleString('en-US'),
  ]);
  cells.push(['', 'total', '', '', parameters.toLocaleString('en-US')]);
  const widths = header.map((title, i) => Math.max(title.length, ...cells.map((row) => (row[i] as string).length)));
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) => (i < 2 ? cell.padEnd(widths[i] as number) : cell.padStart(widths[i] as number)))
      .join('  ')
      .trimEnd();
  return [header, ...cells].map(line).join('\n');
}
