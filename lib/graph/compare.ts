import type { TypedArray } from '../tensor.js';
import { compileGraph, type Executable } from './executable.js';
import { type Graph, type GraphNode, withoutDeadNodes } from './graph.js';

/** How far one value came out apart on two backends. */
export interface Comparison {
  /** Position of the node in the graph without dead nodes, and its operator. */
  readonly node: number;
  readonly operator: string;
  /** Which of the node's outputs. */
  readonly output: number;
  /** ‖native − reference‖ / ‖reference‖ in the 2-norm; the numerator alone when the reference is zero. */
  readonly relativeError: number;
  readonly largestDifference: number;
}

/**
 * Runs a graph on both backends with every value of every node laid open, and compares them in the order of the steps:
 * the first large error shows the operator that is wrong. Captured tensors are left as they are.
 * @throws FoveaError ERR_BACKEND when one of the backends cannot run the graph
 */
export function compareBackends(graph: Graph, inputs: readonly TypedArray[], counter = 0): Comparison[] {
  const open = withEveryValue(withoutDeadNodes(graph));
  const [reference, native] = (['reference', 'native'] as const).map((backend) => {
    // An update in place changes its captured tensors: each backend gets copies of its own.
    const captured = open.captured.map(({ value, tensor }) => ({ value, tensor: tensor.clone() }));
    const executable = compileGraph({ ...open, captured }, { backend });
    try {
      return valuesOf(executable, inputs, counter);
    } finally {
      executable.dispose();
    }
  }) as [Map<number, TypedArray>, Map<number, TypedArray>];
  return open.nodes.flatMap((node, position) => compareNode(node, position, reference, native));
}

function withEveryValue(graph: Graph): Graph {
  const outputs = new Set([...graph.outputs, ...graph.nodes.flatMap((node) => node.outputs)]);
  outputs.delete(-1);
  return { ...graph, outputs: [...outputs] };
}

function valuesOf(executable: Executable, inputs: readonly TypedArray[], counter: number): Map<number, TypedArray> {
  const results = executable.runSync(inputs, undefined, counter);
  return new Map(executable.graph.outputs.map((id, i) => [id, results[i] as TypedArray]));
}

function compareNode(
  node: GraphNode,
  position: number,
  reference: ReadonlyMap<number, TypedArray>,
  native: ReadonlyMap<number, TypedArray>,
): Comparison[] {
  return node.outputs.flatMap((id, output) => {
    const expected = reference.get(id);
    const found = native.get(id);
    if (!expected || !found) return [];
    return [{ node: position, operator: node.operator.name, output, ...distance(expected, found) }];
  });
}

function distance(expected: TypedArray, found: TypedArray): { relativeError: number; largestDifference: number } {
  let squares = 0;
  let norm = 0;
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    const [a, b] = [expected[i] as number, found[i] as number];
    if (Object.is(a, b)) continue; // the same infinity or NaN twice is no difference
    const difference = Math.abs(a - b);
    squares += difference * difference;
    largest = difference > largest || Number.isNaN(difference) ? difference : largest;
  }
  for (const value of expected) norm += value * value;
  const error = Math.sqrt(squares);
  return { relativeError: norm > 0 ? error / Math.sqrt(norm) : error, largestDifference: largest };
}
