import { type Graph, type GraphNode, isUpdate, readersOf } from './graph.js';

/** Replacements of nodes of one graph, and what has to be known to decide on them. */
export class Rewrite {
  private readonly replacement = new Map<GraphNode, readonly GraphNode[]>();
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

  /** The node that computes a value; nothing for inputs and captured tensors. */
  producer(id: number): GraphNode | undefined {
    const node = this.producers.get(id)?.node;
    return node && this.replacement.has(node) ? undefined : node;
  }

  /** Where a value is computed; -1 for inputs and captured tensors. */
  position(id: number): number {
    return this.producers.get(id)?.position ?? -1;
  }

  /** The node that computes `id` as its first output, if exactly one node reads it and it is not a result; else nothing. */
  onlyProducer(id: number): GraphNode | undefined {
    const node = this.producer(id);
    return node?.outputs[0] === id && this.readers.get(id)?.length === 1 && !this.results.has(id) ? node : undefined;
  }

  /** May the node run later than it stands? Yes if no node reads its other outputs and nothing it reads is updated. */
  canMove(node: GraphNode): boolean {
    return node.outputs.slice(1).every((id) => !this.readers.has(id)) && !this.before.nodes.some(isUpdate);
  }

  /** May the node run in the place of a later one? Yes if nothing that it reads is updated in between. */
  canMoveTo(node: GraphNode, later: GraphNode): boolean {
    const { nodes } = this.before;
    return !nodes
      .slice(nodes.indexOf(node) + 1, nodes.indexOf(later))
      .some((other) => isUpdate(other) && other.outputs.some((id) => node.inputs.includes(id)));
  }

  /** Puts other nodes, or none, in the place of a node. */
  replace(node: GraphNode, ...by: GraphNode[]): void {
    this.replacement.set(node, by);
  }

  graph(): Graph {
    return { ...this.before, nodes: this.before.nodes.flatMap((node) => this.replacement.get(node) ?? [node]) };
  }
}
