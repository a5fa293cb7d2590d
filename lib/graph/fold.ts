import type { Attributes, Spec } from '../backend/backend.js';
import { batchNormInferOperator } from '../ops/internal/norm.js';
import type { Operator } from '../ops/operator.js';
import { reshapeOperator } from '../ops/reshape.js';
import { sizeOf, Tensor } from '../tensor.js';
import type { Captured, Graph, GraphNode } from './graph.js';
import type { Weights } from './program.js';
import { Rewrite } from './rewrite.js';

/**
 * Folds batch normalisation by running statistics, and the residual that it adds, into the convolution before it:
 * bn(conv(x, w) + b) + z = conv(x, w·s) + bn(b) + z, with s = weight / √(variance + eps) per filter.
 * Scaling the filters is a batch normalisation of the filters with mean 0, so that parameters may change between runs.
 * Nothing else may read the convolution.
 * @param weights  where they are changing, and filters scaled at each run, filters have to be smaller than the images
 */
export function foldBatchNorm(graph: Graph, weights: Weights = 'changing'): Graph {
  const rewrite = new Rewrite(graph);
  const made = new Additions(graph);
  for (const node of graph.nodes) {
    if (node.operator.name !== 'batchNormInfer') continue;
    const conv = rewrite.onlyProducer(node.inputs[0] as number);
    if (conv?.operator.name !== 'conv2d' || conv.attributes.activation !== 'none' || !rewrite.canMove(conv)) continue;
    const size = (value = -1) => sizeOf((graph.values[value] as Spec).shape);
    if (weights === 'changing' && size(conv.inputs[1]) >= size(conv.outputs[0])) continue;
    rewrite.replace(conv);
    rewrite.replace(node, ...foldedNodes(made, conv, node));
  }
  return { ...rewrite.graph(), values: made.values, captured: made.captured };
}

function foldedNodes(made: Additions, conv: GraphNode, norm: GraphNode): GraphNode[] {
  const [, gamma = -1, beta = -1, mean = -1, variance = -1, residual = -1] = norm.inputs;
  const [x = -1, weight = -1, bias = -1] = conv.inputs;
  const { shape, dtype } = made.values[weight] as Spec;
  const filters = shape[0] as number;
  const nodes: GraphNode[] = [];
  const add = (operator: Operator, inputs: number[], output: readonly number[], attributes: Attributes): number => {
    const value = made.value({ shape: output, dtype });
    nodes.push({ operator, inputs, outputs: [value], attributes });
    return value;
  };
  const reshape = (id: number, to: readonly number[]) => add(reshapeOperator, [id], to, { shape: to });
  const normalise = (inputs: number[], to: readonly number[]) => {
    return add(batchNormInferOperator, [...inputs, -1], to, { eps: norm.attributes.eps as number, activation: 'none' });
  };
  const row = [1, filters];
  const rows = [1, filters, sizeOf(shape) / filters];
  const scaled = normalise([reshape(weight, rows), gamma, -1, made.zeros([filters], dtype), variance], rows);
  const shift = normalise([bias < 0 ? made.zeros(row, dtype) : reshape(bias, row), gamma, beta, mean, variance], row);
  nodes.push({
    operator: conv.operator,
    inputs: [x, reshape(scaled, shape), reshape(shift, [filters]), ...(residual < 0 ? [] : [residual])],
    outputs: norm.outputs,
    attributes: { ...conv.attributes, activation: norm.attributes.activation as string },
  });
  return nodes;
}

/** Values and constants that are added to a graph. */
class Additions {
  readonly values: Spec[];
  readonly captured: Captured[];

  constructor(graph: Graph) {
    this.values = [...graph.values];
    this.captured = [...graph.captured];
  }

  value(spec: Spec): number {
    return this.values.push(spec) - 1;
  }

  zeros(shape: readonly number[], dtype: Spec['dtype']): number {
    const tensor = Tensor.zeros(shape, dtype);
    const value = this.value(tensor);
    this.captured.push({ value, tensor });
    return value;
  }
}
