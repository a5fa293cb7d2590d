import type { Spec } from '../backend/backend.js';
import { FoveaError } from '../errors.js';
import { add } from '../ops/add.js';
import { recordWith, Traced, type Value } from '../ops/operator.js';
import { reshape } from '../ops/reshape.js';
import { formatShape, Tensor } from '../tensor.js';
import { type Graph, type GraphNode, withoutDeadNodes } from './graph.js';
import { maskBeforeUnpooling } from './mask.js';
import { extend, GraphBuilder } from './trace.js';

/** A result of the function, and the gradient of the loss with respect to it. */
export interface Seed {
  readonly value: Value;
  readonly gradient: Value;
}

/**
 * Reverse-mode differentiation inside a trace: records the operators that compute the gradients.
 * Walks the recorded nodes from last to first; each operator's rule turns the gradients of its outputs into those of its
 * inputs, and contributions to one value are added. Rules are asked only for gradients that lead to `wrt`.
 * @param seeds  where gradients come from; the first value must be a traced one
 * @param wrt    traced values, or tensors that the function used
 * @returns      one gradient for each of `wrt`, of the same shape; null where no seed depends on it, or for integers
 * @throws FoveaError ERR_GRAPH naming an operator on the way that has no gradient
 */
export function gradients(seeds: readonly Seed[], wrt: readonly Value[]): (Value | null)[] {
  const builder = seeds.find((seed): seed is Seed & { value: Traced } => seed.value instanceof Traced)?.value.recorder;
  if (!(builder instanceof GraphBuilder)) {
    throw new FoveaError('ERR_GRAPH', 'gradients', 'no seed is a traced value: gradients() is for use inside a trace');
  }
  return recordWith(builder, () => {
    const targets = wrt.map((value) => startOf(builder, value));
    const pass = new ReversePass(builder, new Set(targets));
    for (const { value, gradient } of seeds) pass.contribute(builder.idOf(value, 'gradients'), gradient, 'gradients');
    pass.run();
    return wrt.map((value, i) => shapedAs(pass.gradientOf(targets[i] as number), value));
  });
}

/**
 * A graph that computes, after its own outputs, the gradients of one scalar output.
 * @param options.wrt     values by number, or tensors that the graph captured
 * @param options.output  which output to differentiate, default the first
 * @returns               outputs: those of `graph`, then one gradient for each of `wrt` (zeros where it has no influence)
 * @throws FoveaError ERR_SHAPE when that output is not a scalar, ERR_GRAPH
 */
export function differentiate(
  graph: Graph,
  { wrt, output = 0 }: { wrt: readonly (number | Tensor)[]; output?: number },
): Graph {
  const extended = extend(graph, (_, outputs) => {
    const loss = outputs[output] as Traced;
    if (loss.shape.length > 0) {
      throw new FoveaError(
        'ERR_SHAPE',
        graph.name,
        `only a scalar can be differentiated, the output is ${formatShape(loss.shape)}`,
      );
    }
    const builder = loss.recorder as GraphBuilder;
    const targets = wrt.map((target) => (target instanceof Tensor ? target : builder.traced(target)));
    const found = gradients([{ value: loss, gradient: Tensor.ones([], loss.dtype) }], targets);
    return [...outputs, ...found.map((gradient, i) => gradient ?? zerosLike(targets[i] as Value))];
  });
  return maskBeforeUnpooling(withoutDeadNodes(extended));
}

/** Zeros of the shape and type of a value. */
export function zerosLike({ shape, dtype }: Spec): Tensor {
  return Tensor.zeros(shape, dtype);
}

/** True for element types that have gradients. */
export function isFloat({ dtype }: Spec): boolean {
  return dtype === 'float32' || dtype === 'float64';
}

class ReversePass {
  private readonly gradients = new Map<number, Value>();
  /** Does the value depend on anything that gradients are wanted for? */
  private readonly depends: Set<number>;
  private readonly nodes: readonly GraphNode[];

  constructor(
    private readonly builder: GraphBuilder,
    targets: ReadonlySet<number>,
  ) {
    this.nodes = [...builder.nodes]; // rules append to the builder's list
    this.depends = new Set(targets);
    for (const node of this.nodes) {
      if (!node.inputs.some((id) => this.depends.has(id))) continue;
      for (const id of node.outputs) if (id >= 0 && isFloat(this.spec(id))) this.depends.add(id);
    }
  }

  run(): void {
    for (const node of this.nodes.toReversed()) {
      if (!node.outputs.some((id) => this.gradients.has(id) && this.depends.has(id))) continue;
      this.applyRule(node);
    }
  }

  gradientOf(id: number): Value | null {
    return this.gradients.get(id) ?? null;
  }

  contribute(id: number, gradient: Value, operator: string): void {
    const { shape, dtype } = this.spec(id);
    if (String(gradient.shape) !== String(shape) || gradient.dtype !== dtype) {
      const detail = `the gradient of a ${dtype} value ${formatShape(shape)} came out as ${gradient.dtype} ${formatShape(gradient.shape)}`;
      throw new FoveaError('ERR_GRAPH', operator, detail);
    }
    const sum = this.gradients.get(id);
    this.gradients.set(id, sum ? add(sum, gradient) : gradient);
  }

  private applyRule({ operator, inputs, outputs, attributes }: GraphNode): void {
    const wanted = inputs.map((id) => id >= 0 && this.depends.has(id) && isFloat(this.spec(id)));
    if (!wanted.includes(true)) return;
    if (!operator.gradient) throw new FoveaError('ERR_GRAPH', operator.name, 'the operator has no gradient');
    const tracedAt = (id: number) => (id < 0 ? null : this.builder.traced(id));
    const results = operator.gradient({
      attributes,
      inputs: inputs.map(tracedAt),
      outputs: outputs.map(tracedAt),
      gradOutputs: outputs.map((id) => this.gradients.get(id) ?? null),
      wanted,
    });
    inputs.forEach((id, i) => {
      const gradient = results[i];
      if (wanted[i] && gradient) this.contribute(id, gradient, operator.name);
    });
  }

  private spec(id: number): Spec {
    return this.builder.values[id] as Spec;
  }
}

// A tensor that the function changed is differentiated as it was at the start; -1 when the function did not use it.
function startOf(builder: GraphBuilder, value: Value): number {
  return value instanceof Tensor ? (builder.capturedAt(value) ?? -1) : builder.idOf(value, 'gradients');
}

function shapedAs(gradient: Value | null, { shape }: Value): Value | null {
  return gradient && String(gradient.shape) !== String(shape) ? reshape(gradient, shape) : gradient;
}
