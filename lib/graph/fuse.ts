import type { Graph, GraphNode } from './graph.js';
import { Rewrite } from './rewrite.js';

// Operators that can apply a ReLU to what they write (attribute `activation`), and those that can also add a residual
// first (the input at that index). Fusing is done before differentiation: the gradient rules of the fused operators
// need only the activated output, since relu(z) > 0 exactly where z > 0.
const activated: ReadonlySet<string> = new Set(['conv2d', 'linear', 'batchNormTrain', 'batchNormInfer']);
const residualInput: ReadonlyMap<string, number> = new Map([
  ['batchNormTrain', 5],
  ['batchNormInfer', 5],
]);

/**
 * The same function in fewer passes over memory: a residual addition, then a ReLU, become part of the operator that
 * writes their operand, when nothing else reads the value in between.
 */
export function fuse(graph: Graph): Graph {
  return fuseRelu(fuseResidual(graph));
}

// add(batchNorm(x), shortcut) → batchNorm(x, …, shortcut), in the place of the addition, since the shortcut may be
// computed after the normalisation.
function fuseResidual(graph: Graph): Graph {
  const rewrite = new Rewrite(graph);
  for (const node of graph.nodes) {
    if (node.operator.name !== 'add' || !sameShapes(graph, node)) continue;
    for (const id of [...node.inputs].sort((a, b) => rewrite.position(b) - rewrite.position(a))) {
      const producer = rewrite.onlyProducer(id);
      const slot = residualInput.get(producer?.operator.name ?? '');
      if (!producer || slot === undefined || !canTakeResidual(producer, slot) || !rewrite.canMove(producer)) continue;
      const other = node.inputs[0] === id ? node.inputs[1] : node.inputs[0];
      const inputs = Array.from({ length: slot + 1 }, (_, i) =>
        i === slot ? (other as number) : (producer.inputs[i] ?? -1),
      );
      rewrite.replace(producer);
      rewrite.replace(node, {
        ...producer,
        inputs,
        outputs: [node.outputs[0] as number, ...producer.outputs.slice(1)],
      });
      break;
    }
  }
  return rewrite.graph();
}

function fuseRelu(graph: Graph): Graph {
  const rewrite = new Rewrite(graph);
  for (const node of graph.nodes) {
    if (node.operator.name !== 'relu') continue;
    const producer = rewrite.onlyProducer(node.inputs[0] as number);
    if (!producer || !activated.has(producer.operator.name) || isActivated(producer)) continue;
    const attributes = { ...producer.attributes, activation: 'relu' };
    const outputs = [node.outputs[0] as number, ...producer.outputs.slice(1)];
    rewrite.replace(producer, { ...producer, attributes, outputs });
    rewrite.replace(node);
  }
  return rewrite.graph();
}

function canTakeResidual(node: GraphNode, slot: number): boolean {
  return !isActivated(node) && (node.inputs[slot] ?? -1) < 0;
}

function isActivated({ attributes }: GraphNode): boolean {
  return (attributes.activation ?? 'none') !== 'none';
}

function sameShapes(graph: Graph, { inputs }: GraphNode): boolean {
  const [a, b] = inputs.map((id) => String(graph.values[id]?.shape));
  return a === b && inputs[0] !== inputs[1];
}
