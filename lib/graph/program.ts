import type { ProgramStep, Spec } from '../backend/backend.js';
import type { Program } from '../backend/lower.js';
import { type Graph, type GraphNode, isUpdate } from './graph.js';

/**
 * Whether captured tensors change from run to run: `steady`, seldom, which each run looks at, or `frozen`, not after the
 * first run.
 */
export type Weights = 'changing' | 'steady' | 'frozen';

type ExternalValue = Spec & { external?: number };

/**
 * The graph as steps over numbered arrays: externals are its inputs, then captured tensors, then outputs.
 * Results that are not computed into a place of their own are copied. Captured tensors are assigned to when everything
 * has read them, and optimizer updates at the end of the graph stay last: a run that is stopped before has changed no
 * parameter.
 */
export function programOf(graph: Graph, weights: Weights = 'changing'): Program {
  const values: ExternalValue[] = graph.values.map(({ shape, dtype }) => ({ shape, dtype }));
  let externals = 0;
  for (const id of [...graph.inputs, ...graph.captured.map(({ value }) => value)]) {
    (values[id] as ExternalValue).external = externals++;
  }
  const copies: { readonly of: number; readonly step: ProgramStep }[] = [];
  for (const id of graph.outputs) {
    const value = values[id] as ExternalValue;
    if (value.external === undefined) value.external = externals++;
    else copies.push({ of: id, step: assign(id, values.push({ ...value, external: externals++ }) - 1) });
  }
  const updates = trailingUpdates(graph);
  const updated = new Set(updates.flatMap(({ outputs }) => outputs));
  const steps = [
    ...graph.nodes.slice(0, graph.nodes.length - updates.length).map(stepOf),
    ...copies.filter(({ of }) => !updated.has(of)).map(({ step }) => step),
    ...assignSteps(graph, values),
    ...updates.map(stepOf),
    ...copies.filter(({ of }) => updated.has(of)).map(({ step }) => step),
  ];
  const steady = weights === 'changing' ? [] : graph.captured.map((_, i) => graph.inputs.length + i);
  return { values, steps, externals, steady, frozen: weights === 'frozen' };
}

function stepOf({ operator, inputs, outputs, attributes }: GraphNode): ProgramStep {
  return { operator: operator.name, inputs, outputs, attributes };
}

function assign(from: number, to: number): ProgramStep {
  return { operator: 'assign', inputs: [from], outputs: [to], attributes: {} };
}

// All assignments at once: a target that another one takes over is saved before it changes.
function assignSteps({ assigns }: Graph, values: ExternalValue[]): ProgramStep[] {
  const changing = assigns.filter(({ target, value }) => target !== value);
  const targets = new Set(changing.map(({ target }) => target));
  const saves: ProgramStep[] = [];
  const moves = changing.map(({ target, value }) => {
    if (!targets.has(value)) return assign(value, target);
    const { shape, dtype } = values[value] as Spec;
    const saved = values.push({ shape, dtype }) - 1;
    saves.push(assign(value, saved));
    return assign(saved, target);
  });
  return [...saves, ...moves];
}

// The updates that nothing follows, unless they touch something that is assigned to.
function trailingUpdates({ nodes, assigns }: Graph): readonly GraphNode[] {
  const assigned = new Set(assigns.flatMap(({ target, value }) => [target, value]));
  const apart = (node: GraphNode) => ![...node.inputs, ...node.outputs].some((id) => assigned.has(id));
  return nodes.slice(nodes.findLastIndex((node) => !isUpdate(node) || !apart(node)) + 1);
}
