import type { Spec } from '../backend/backend.js';
import { maskSpec } from '../ops/internal/mask.js';
import type { Graph, GraphNode } from './graph.js';
import { Rewrite } from './rewrite.js';

/**
 * Passes over memory that a convolution takes over, doing their work on each part of its output while a cache holds it:
 *
 *   batchNormTrain(conv2d(…))              the convolution gives mean and variance: one pass of two is left
 *   add(conv2dGradInput(…), other)         the input gradient adds the other gradient
 *   reluBackward(conv2dGradInput(…), y)    the input gradient masks by bits that were written together with y
 *   batchNormTrainBackward(conv2dGradInput(…), x, y)   likewise, and gives the sums over dy and x: one pass of two is left
 *
 * Done last: the operators with these operands have no gradient rules of their own.
 */
export function fuseEpilogues(graph: Graph): Graph {
  return fuseMasksAndSums(fuseAdditions(fuseStatistics(graph)));
}

function fuseStatistics(graph: Graph): Graph {
  const rewrite = new Rewrite(graph);
  const values = [...graph.values];
  for (const node of graph.nodes) {
    const conv = node.operator.name === 'batchNormTrain' ? rewrite.producer(node.inputs[0] as number) : undefined;
    if (conv?.operator.name !== 'conv2d' || conv.attributes.activation !== 'none' || has(node, 6)) continue;
    const { shape, dtype } = values[conv.outputs[0] as number] as Spec;
    const statistic = () => values.push({ shape: [shape[1] as number], dtype }) - 1;
    const statistics = [statistic(), statistic()];
    rewrite.replace(conv, {
      ...conv,
      outputs: withOperands(conv.outputs, [1, statistics]),
      attributes: { ...conv.attributes, withStatistics: true },
    });
    rewrite.replace(node, { ...node, inputs: withOperands(node.inputs, [6, statistics]) });
  }
  return { ...rewrite.graph(), values };
}

// Until nothing changes: the sum of three gradients is two additions.
function fuseAdditions(graph: Graph): Graph {
  const rewrite = new Rewrite(graph);
  for (const node of graph.nodes) {
    const [a = -1, b = -1] = node.inputs;
    if (node.operator.name !== 'add' || a === b || !alike(graph, [a, b])) continue;
    for (const id of [a, b].sort((p, q) => rewrite.position(q) - rewrite.position(p))) {
      const conv = rewrite.onlyProducer(id);
      if (conv?.operator.name !== 'conv2dGradInput' || isFused(conv) || !rewrite.canMoveTo(conv, node)) continue;
      rewrite.replace(conv);
      rewrite.replace(node, {
        ...conv,
        inputs: withOperands(conv.inputs, [2, [id === a ? b : a]]),
        outputs: node.outputs,
      });
      return fuseAdditions(rewrite.graph());
    }
  }
  return graph;
}

function fuseMasksAndSums(graph: Graph): Graph {
  const rewrite = new Rewrite(graph);
  const values = [...graph.values];
  const masks = new Map<GraphNode, number>(); // by the node with the ReLU
  const maskOf = (activated: GraphNode): number => {
    const known = masks.get(activated);
    if (known !== undefined) return known;
    const mask = values.push(maskSpec(values[activated.outputs[0] as number] as Spec)) - 1;
    masks.set(activated, mask);
    return mask;
  };
  for (const node of graph.nodes) {
    const gradient = gradientOf(node);
    const conv = gradient && rewrite.onlyProducer(node.inputs[0] as number);
    if (!gradient || conv?.operator.name !== 'conv2dGradInput' || has(conv, 3) || has(conv, 4)) continue;
    const activated = gradient.activated < 0 ? undefined : rewrite.producer(gradient.activated);
    if (gradient.activated >= 0 && !(activated && makesMasks(activated))) continue;
    const mask = activated ? maskOf(activated) : -1;
    // What follows reads the masked gradient, under the number that it has now.
    const [masked] = node.outputs;
    if (node.operator.name === 'reluBackward') {
      rewrite.replace(conv, { ...conv, inputs: withOperands(conv.inputs, [3, [mask]]), outputs: [masked as number] });
      rewrite.replace(node);
      continue;
    }
    const [dy = -1, x = -1, , weight = -1, mean = -1, invStd = -1] = node.inputs;
    const [dx = -1, dweight = -1, dbias = -1, residual = -1] = node.outputs;
    const { shape, dtype } = values[dy] as Spec;
    const sums = values.push({ shape: [2, shape[1] as number], dtype }) - 1;
    const g = residual < 0 ? dy : residual;
    rewrite.replace(conv, {
      ...conv,
      inputs: withOperands(conv.inputs, [3, [mask, x, mean]]),
      outputs: [g, sums],
    });
    rewrite.replace(node, {
      ...node,
      inputs: [g, x, -1, weight, mean, invStd, sums],
      outputs: [dx, dweight, dbias, -1],
      attributes: { ...node.attributes, activation: 'none', withResidual: false },
    });
  }
  for (const [node, mask] of masks) {
    const slot = node.operator.name === 'conv2d' ? 3 : 5;
    rewrite.replace(node, {
      ...node,
      outputs: withOperands(node.outputs, [slot, [mask]]),
      attributes: { ...node.attributes, withMask: true },
    });
  }
  return { ...rewrite.graph(), values };
}

/** What a node that reads a gradient first masks it by: the activated value, or −1 for nothing. */
function gradientOf({ operator, inputs, attributes }: GraphNode): { activated: number } | undefined {
  if (operator.name === 'reluBackward') return { activated: inputs[1] as number };
  if (operator.name !== 'batchNormTrainBackward' || (inputs[6] ?? -1) >= 0) return undefined;
  return { activated: attributes.activation === 'relu' ? (inputs[2] as number) : -1 };
}

function makesMasks({ operator, attributes }: GraphNode): boolean {
  return (operator.name === 'conv2d' || operator.name === 'batchNormTrain') && attributes.activation === 'relu';
}

function isFused(conv: GraphNode): boolean {
  return [2, 3, 4].some((operand) => has(conv, operand));
}

function has({ inputs }: GraphNode, operand: number): boolean {
  return (inputs[operand] ?? -1) >= 0;
}

/** The operands with others from `from` on, and absent ones up to there. */
function withOperands(operands: readonly number[], [from, others]: [number, readonly number[]]): number[] {
  const length = Math.max(operands.length, from + others.length);
  return Array.from({ length }, (_, i) => others[i - from] ?? operands[i] ?? -1);
}

function alike(graph: Graph, ids: readonly number[]): boolean {
  return new Set(ids.map((id) => String(graph.values[id]?.shape))).size === 1;
}
