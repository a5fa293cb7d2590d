import type { Spec } from '../backend/backend.js';
import { reluBackwardOperator } from '../ops/relu.js';
import type { Graph, GraphNode } from './graph.js';
import { Rewrite } from './rewrite.js';

/**
 * Moves the mask of a ReLU that stands before a max pooling, in backward, to the other side of the pooling:
 * reluBackward(maxPool2dBackward(dy, indices), x) = maxPool2dBackward(reluBackward(dy, y), indices), where y is x pooled.
 * The gradient of a window goes to the pixel whose value is that window's y, so the masks are the same, bit for bit; but
 * there are as many times fewer of them as the pooling has fewer outputs, and x need not be kept for it.
 * Likewise for the mask inside the gradient of a batch normalisation.
 */
export function maskBeforeUnpooling(graph: Graph): Graph {
  const rewrite = new Rewrite(graph);
  const values: Spec[] = [...graph.values];
  const pooled = new Map(
    graph.nodes.flatMap((node) => (node.operator.name === 'maxPool2d' ? [[node.outputs[1], node]] : [])),
  );
  for (const node of graph.nodes) {
    const masked = maskOf(node);
    const unpool = masked && rewrite.onlyProducer(masked.gradient);
    if (!masked || unpool?.operator.name !== 'maxPool2dBackward') continue;
    const [dy, indices] = unpool.inputs as [number, number];
    const pool = pooled.get(indices);
    if (!pool || pool.inputs[0] !== masked.activated) continue;
    const masking: GraphNode = {
      operator: reluBackwardOperator,
      inputs: [dy, pool.outputs[0] as number],
      outputs: [values.push(values[dy] as Spec) - 1],
      attributes: {},
    };
    const inputs = [masking.outputs[0] as number, indices];
    if (node.operator.name === 'reluBackward') {
      rewrite.replace(unpool);
      rewrite.replace(node, masking, { ...unpool, inputs, outputs: node.outputs });
    } else {
      rewrite.replace(unpool, masking, { ...unpool, inputs });
      rewrite.replace(node, withoutMask(node));
    }
  }
  return { ...rewrite.graph(), values };
}

/** Which gradient a node masks, and by the sign of what. */
function maskOf({
  operator,
  inputs,
  outputs,
  attributes,
}: GraphNode): { gradient: number; activated: number } | undefined {
  const [gradient = -1, second = -1, third = -1] = inputs;
  if (operator.name === 'reluBackward') return { gradient, activated: second };
  // With a residual, the masked gradient is also an output.
  const normalisation = operator.name === 'batchNormTrainBackward' && (outputs[3] ?? -1) < 0;
  return normalisation && attributes.activation === 'relu' ? { gradient, activated: third } : undefined;
}

function withoutMask(node: GraphNode): GraphNode {
  const inputs = node.inputs.map((id, i) => (i === 2 ? -1 : id));
  return { ...node, inputs, attributes: { ...node.attributes, activation: 'none' } };
}
