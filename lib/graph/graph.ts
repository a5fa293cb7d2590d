import type { Attributes, Spec } from '../backend/backend.js';
import type { Operator } from '../ops/operator.js';
import type { Tensor } from '../tensor.js';

/**
 * One operator call. Operands are numbers of values; -1 stands for an absent optional operand. An output that is also
 * an input is updated in place: nodes after this one read the new contents.
 */
export interface GraphNode {
  readonly operator: Operator;
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
  readonly attributes: Attributes;
}

/** A tensor that the traced function used without being given it: read, and maybe updated, where it lies. */
export interface Captured {
  readonly value: number;
  readonly tensor: Tensor;
}

/** What a traced function computes: nodes in an order in which they can run. */
export interface Graph {
  readonly name: string;
  readonly values: readonly Spec[];
  readonly inputs: readonly number[];
  readonly captured: readonly Captured[];
  readonly nodes: readonly GraphNode[];
  readonly outputs: readonly number[];
  /** At the end of a run, after every read, the captured value `target` takes the contents of `value`. */
  readonly assigns: readonly { readonly target: number; readonly value: number }[];
}

/** True for a node that changes captured memory, so that it counts even when nothing reads its outputs. */
export function isUpdate(node: GraphNode): boolean {
  return node.outputs.some((id) => id >= 0 && node.inputs.includes(id));
}

/** The graph without nodes whose outputs nothing needs, and without captured tensors that nothing uses. */
export function withoutDeadNodes(graph: Graph): Graph {
  const needed = new Set([...graph.outputs, ...graph.assigns.flatMap(({ target, value }) => [target, value])]);
  const nodes = graph.nodes
    .toReversed()
    .filter((node) => {
      const alive = isUpdate(node) || node.outputs.some((id) => needed.has(id));
      if (alive) for (const id of node.inputs) needed.add(id);
      return alive;
    })
    .toReversed();
  return { ...graph, nodes, captured: graph.captured.filter(({ value }) => needed.has(value)) };
}

/** The graph without those optional outputs that nothing reads. */
export function withoutUnusedOutputs(graph: Graph): Graph {
  const read = [...graph.nodes.flatMap(({ inputs }) => inputs), ...graph.assigns.map(({ value }) => value)];
  const needed = new Set([...graph.outputs, ...read]);
  const nodes = graph.nodes.map((node) => {
    const { optionalOutputs = [] } = node.operator;
    return {
      ...node,
      outputs: node.outputs.map((id, i) => (optionalOutputs.includes(i) && !needed.has(id) ? -1 : id)),
    };
  });
  return { ...graph, nodes };
}

/** Per value, the nodes that read it; a node that reads it twice stands twice. */
export function readersOf(graph: Graph): Map<number, GraphNode[]> {
  const readers = new Map<number, GraphNode[]>();
  for (const node of graph.nodes) {
    for (const id of node.inputs) {
      if (id < 0) continue;
      const list = readers.get(id);
      if (list) list.push(node);
      else readers.set(id, [node]);
    }
  }
  return readers;
}

/** `float32[64, 1, 28, 28]` */
export function formatSpec({ dtype, shape }: Spec): string {
  return `${dtype}[${shape.join(', ')}]`;
}

/** The graph as text, a line for each input, captured tensor, node and result. */
export function formatGraph(graph: Graph): string {
  const name = (id: number) => (id < 0 ? '-' : `%${id}`);
  const typed = (id: number) => `${name(id)}: ${formatSpec(graph.values[id] as Spec)}`;
  const lines = [`graph ${graph.name}`];
  for (const id of graph.inputs) lines.push(`  input    ${typed(id)}`);
  for (const { value } of graph.captured) lines.push(`  captured ${typed(value)}`);
  for (const node of graph.nodes) {
    const outputs = node.outputs.map((id) => (id < 0 ? '-' : typed(id))).join(', ');
    const attributes = formatAttributes(node.attributes);
    lines.push(
      `  ${outputs} = ${node.operator.name}(${node.inputs.map(name).join(', ')})${attributes && ` ${attributes}`}`,
    );
  }
  for (const { target, value } of graph.assigns) lines.push(`  assign   ${name(target)} <- ${name(value)}`);
  lines.push(`  return   ${graph.outputs.map(name).join(', ')}`);
  return lines.join('\n');
}

function formatAttributes(attributes: Attributes): string {
  const entries = Object.entries(attributes);
  return entries.length === 0
    ? ''
    : `{ ${entries.map(([key, value]) => `${key}: ${JSON.stringify(value)}`).join(', ')} }`;
}
