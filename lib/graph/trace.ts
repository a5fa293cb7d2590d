import type { Attributes, Spec } from '../backend/backend.js';
import { FoveaError } from '../errors.js';
import { type Maybe, type Operator, type Recorder, recordWith, Traced, type Value } from '../ops/operator.js';
import { reshape } from '../ops/reshape.js';
import { formatShape, Tensor, type TypedArray } from '../tensor.js';
import type { Captured, Graph, GraphNode } from './graph.js';

/** A graph in the making: the recorder behind the traced values of one trace. */
export class GraphBuilder implements Recorder {
  readonly values: Spec[] = [];
  readonly nodes: GraphNode[] = [];
  private readonly inputs: number[] = [];
  private readonly captured: Captured[] = [];
  // By the array and not by the tensor: a reshaped view of a parameter is that parameter.
  private readonly capturedByData = new Map<TypedArray, Captured>();
  private readonly assigned = new Map<number, number>();
  private finished = false;

  constructor(readonly name: string) {}

  /** A builder that goes on where a graph ended; its values keep their numbers. */
  static from(graph: Graph): GraphBuilder {
    const builder = new GraphBuilder(graph.name);
    builder.values.push(...graph.values);
    builder.nodes.push(...graph.nodes);
    builder.inputs.push(...graph.inputs);
    for (const captured of graph.captured) {
      builder.captured.push(captured);
      builder.capturedByData.set(captured.tensor.data, captured);
    }
    for (const { target, value } of graph.assigns) builder.assigned.set(target, value);
    return builder;
  }

  input(spec: Spec): Traced {
    const value = this.newValue(spec);
    this.inputs.push(value.id);
    return value;
  }

  traced(id: number): Traced {
    const { shape, dtype } = this.values[id] as Spec;
    return new Traced(this, shape, dtype, id);
  }

  /** The traced value that stands for a tensor: what the tensor would hold at this point of the function. */
  capture(tensor: Tensor): Traced {
    const base = this.captureData(tensor);
    const now = this.traced(this.assigned.get(base.value) ?? base.value);
    return String(now.shape) === String(tensor.shape) ? now : this.reshaped(now, tensor.shape);
  }

  /** The value of a captured tensor at the start of a run; undefined when the function did not use it. */
  capturedAt(tensor: Tensor): number | undefined {
    return this.capturedByData.get(tensor.data)?.value;
  }

  /** The number of a value in this graph. @throws FoveaError ERR_GRAPH for a value of another trace */
  idOf(value: Value, operator: string): number {
    if (value instanceof Tensor) return this.capture(value).id;
    if (!(value instanceof Traced)) {
      throw new FoveaError('ERR_GRAPH', operator, `expected a tensor or a traced value, got ${describe(value)}`);
    }
    if (value.recorder !== this) {
      const detail = `a traced value ${formatShape(value.shape)} is used outside the function it was traced in; traced values cannot be kept`;
      throw new FoveaError('ERR_GRAPH', operator, detail);
    }
    return value.id;
  }

  record(
    operator: Operator,
    inputs: readonly Maybe<Value>[],
    attributes: Attributes,
    inplace: readonly number[] = [],
  ): (Traced | null)[] {
    if (this.finished) {
      throw new FoveaError(
        'ERR_GRAPH',
        operator.name,
        `the trace of ${this.name} has ended; its values cannot be used any more`,
      );
    }
    const inputIds = inputs.map((value, i) => {
      if (!value) return -1;
      return value instanceof Tensor && inplace.includes(i)
        ? this.captureInPlace(value)
        : this.idOf(value, operator.name);
    });
    const specs = inputIds.map((id) => (id < 0 ? null : (this.values[id] as Spec)));
    const outputs = operator.infer(specs, attributes).map((spec, i) => {
      if (!spec) return null;
      const shared = inplace[i];
      return shared === undefined ? this.newValue(spec) : this.traced(inputIds[shared] as number);
    });
    this.nodes.push({ operator, inputs: inputIds, outputs: outputs.map((value) => value?.id ?? -1), attributes });
    return outputs;
  }

  assign(target: Tensor, value: Traced): void {
    const { value: id } = this.captureData(target);
    const from = this.idOf(value, 'assign');
    if (String(value.shape) !== String(target.shape) || value.dtype !== target.dtype) {
      const detail = `a ${target.dtype} tensor ${formatShape(target.shape)} cannot take a ${value.dtype} value ${formatShape(value.shape)}`;
      throw new FoveaError('ERR_SHAPE', 'assign', detail);
    }
    // A view of another shape has the same elements in the same order, but the value must look like its target.
    const { shape } = this.values[id] as Spec;
    this.assigned.set(id, String(shape) === String(value.shape) ? from : this.reshaped(value, shape).id);
  }

  finish(outputs: readonly Value[]): Graph {
    const ids = outputs.map((value) => this.idOf(value, this.name));
    this.finished = true;
    return {
      name: this.name,
      values: [...this.values],
      inputs: [...this.inputs],
      captured: [...this.captured],
      nodes: [...this.nodes],
      outputs: ids,
      assigns: [...this.assigned].map(([target, value]) => ({ target, value })),
    };
  }

  // An update in place of a tensor that was captured under another shape needs its memory, and not a reshaped copy: the
  // same tensor is then captured a second time.
  private captureInPlace(tensor: Tensor): number {
    const { value } = this.captureData(tensor);
    if (String(this.values[value]?.shape) === String(tensor.shape)) return this.assigned.get(value) ?? value;
    const again = { value: this.newValue(tensor).id, tensor };
    this.captured.push(again);
    return again.value;
  }

  private captureData(tensor: Tensor): Captured {
    const known = this.capturedByData.get(tensor.data);
    if (known) return known;
    const captured = { value: this.newValue(tensor).id, tensor };
    this.captured.push(captured);
    this.capturedByData.set(tensor.data, captured);
    return captured;
  }

  private reshaped(value: Traced, shape: readonly number[]): Traced {
    return reshape(value, shape) as Traced;
  }

  private newValue({ shape, dtype }: Spec): Traced {
    return this.traced(this.values.push({ shape: [...shape], dtype }) - 1);
  }
}

/** What may come out of a traced function. */
export type TracedResult = Value | readonly Value[];

/**
 * Runs `body` once on values without contents and records the operators it calls.
 * Tensors that it uses otherwise are captured: each run reads what they hold then.
 * @param inputs  shape and type of each argument
 * @param name    for messages and `explain`
 * @throws FoveaError ERR_GRAPH when values of another trace are used, or something other than values is returned
 */
export function trace(body: (...inputs: Traced[]) => TracedResult, inputs: readonly Spec[], name = 'function'): Graph {
  const builder = new GraphBuilder(name);
  const traced = inputs.map((spec) => builder.input(spec));
  return builder.finish(recordWith(builder, () => resultsOf(body(...traced), name)));
}

/**
 * A graph that does more: `body` gets the inputs and outputs of `graph` and records on; what it returns are the outputs
 * of the new graph.
 */
export function extend(graph: Graph, body: (inputs: Traced[], outputs: Traced[]) => TracedResult): Graph {
  const builder = GraphBuilder.from(graph);
  const inputs = graph.inputs.map((id) => builder.traced(id));
  const outputs = graph.outputs.map((id) => builder.traced(id));
  return builder.finish(recordWith(builder, () => resultsOf(body(inputs, outputs), graph.name)));
}

function resultsOf(result: TracedResult, name: string): readonly Value[] {
  const values = Array.isArray(result) ? (result as readonly Value[]) : [result as Value];
  for (const value of values) {
    if (value instanceof Traced || value instanceof Tensor) continue;
    const detail = `a traced function returns a value or a list of values, synchronously; it returned ${describe(value)}`;
    throw new FoveaError('ERR_GRAPH', name, detail);
  }
  return values;
}

function describe(value: unknown): string {
  if (value instanceof Promise) return 'a promise';
  return typeof value === 'object' && value !== null ? (value.constructor?.name ?? 'an object') : String(value);
}
