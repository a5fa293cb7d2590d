import { type Graph, type GraphNode, isUpdate, readersOf } from './graph.js';

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
  const fusion = new Fusion(graph);
  for (const node of graph.nodes) {
    if (node.operator.name !== 'add' || !sameShapes(graph, node)) continue;
    for (const id of [...node.inputs].sort((a, b) => fusion.position(b) - fusion.position(a))) {
      const producer = fusion.onlyProducer(id);
      const slot = residualInput.get(producer?.operator.name ?? '');
      if (!producer || slot === undefined || !canTakeResidual(producer, slot) || !fusion.canMove(producer)) continue;
      const other = node.inputs[0] === id ? node.inputs[1] : node.inputs[0];
      const inputs = Array.from({ length: slot + 1 }, (_, i) =>
        i === slot ? (other as number) : (producer.inputs[i] ?? -1),
      );
      fusion.replace(producer, null);
      fusion.replace(node, { ...producer, inputs, outputs: [node.outputs[0] as number, ...producer.outputs.slice(1)] });
      break;
    }
  }
  return fusion.graph();
}

function fuseRelu(graph: Graph): Graph {
  const fusion = new Fusion(graph);
  for (const node of graph.nodes) {
    if (node.operator.name !== 'relu') continue;
    const producer = fusion.onlyProducer(node.inputs[0] as number);
    if (!producer || !activated.has(producer.operator.name) || isActivated(producer)) continue;
    const attributes = { ...producer.attributes, activation: 'relu' };
    const outputs = [node.outputs[0] as number, ...producer.outputs.slice(1)];
    fusion.replace(producer, { ...producer, attributes, outputs });
    fusion.replace(node, null);
  }
  return fusion.graph();
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

/** Replacements of nodes, looked up while they are being decided. */
class Fusion {
  private readonly replacement = new Map<GraphNode, GraphNode | null>();
  private readonly producers = new Map<number, { node: GraphNode; position: number }>();
  private readonly readers: ReturnType<typeof readersOf>;
  private readonly results: ReadonlySet<number>;

  constructor(private readonly before: Graph) {
    this.readers = readersOf(before);
    this.results = new Set([...before.outputs, ...before.assigns.map(({ value }) => value)]);
    before.nodes.forEach((node, position) => {
      for (const id of node.outputs) if (!isUpdate(node)) this.producers.set(id, { node, position });
    });
  }

  /** Where a value is computed; -1 for inputs and captured tensors. */
  position(id: number): number {
    return this.producers.get(id)?.position ?? -1;
  }

  /** The node that computes `id` as its first output, if exactly one node reads it and it is not a result; else nothing. */
  onlyProducer(id: number): GraphNode | undefined {
    const node = this.producers.get(id)?.node;
    if (!node || node.outputs[0] !== id || this.readers.get(id)?.length !== 1 || this.results.has(id)) return undefined;
    return this.replacement.has(node) ? undefined : node;
  }

  /** May the node run later than it stands? Yes if no node reads its other outputs and nothing it reads is updated. */
  canMove(node: GraphNode): boolean {
    return node.outputs.slice(1).every((id) => !this.readers.has(id)) && !this.before.nodes.some(isUpdate);
  }

  replace(node: GraphNode, by: GraphNode | null): void {
    this.replacement.set(node, by);
  }

  graph(): Graph {
    const nodes = this.before.nodes.flatMap((node) => {
      const by = this.replacement.get(node);
      if (by === undefined) return [node];
      return by ? [by] : [];
    });
    return { ...this.before, nodes };
  }
}
