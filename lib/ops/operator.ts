import type { Attributes, Backend, CompiledProgram, ProgramStep, Spec } from '../backend/backend.js';
import { lower, type Program } from '../backend/lower.js';
import { backendFor } from '../backend/select.js';
import { FoveaError } from '../errors.js';
import { allocate, sizeOf, Tensor, type TypedArray } from '../tensor.js';

/** A value that is not computed yet: it belongs to the graph that its recorder builds. */
export class Traced implements Spec {
  constructor(
    readonly recorder: Recorder,
    readonly shape: readonly number[],
    readonly dtype: Spec['dtype'],
    /** Number of the value in the recorder's graph. */
    readonly id: number,
  ) {}
  get size(): number {
    return sizeOf(this.shape);
  }
}

/** What every operator takes and gives: a tensor now, or a traced value for later. */
export type Value = Tensor | Traced;
/** What the named gradients of operators without weights return. */
export interface InputGradient<T extends Value = Value> {
  readonly gradInput: T;
}

/** An optional operand. */
export type Maybe<T> = T | null | undefined;

/** Builds a graph while a function of operators runs (lib/graph/trace.ts). */
export interface Recorder {
  record(
    operator: Operator,
    inputs: readonly Maybe<Value>[],
    attributes: Attributes,
    inplace?: readonly number[],
  ): (Traced | null)[];
  /** The function changes a tensor that outlives it (running statistics): `target` takes `value` at the end of each run. */
  assign(target: Tensor, value: Traced): void;
}

/** Everything a gradient rule may look at. Absent operands are null. */
export interface GradientContext {
  readonly attributes: Attributes;
  readonly inputs: readonly (Value | null)[];
  readonly outputs: readonly (Value | null)[];
  /** Per output; null where nothing depends on that output. At least one is not null. */
  readonly gradOutputs: readonly (Value | null)[];
  /** Per input: is its gradient wanted? */
  readonly wanted: readonly boolean[];
}

/** A primitive operator: what both backends compute under this name. */
export interface Operator {
  readonly name: string;
  /** Outputs that a program leaves out where nothing reads them. Default: none. */
  readonly optionalOutputs?: readonly number[];
  /**
   * Output shapes and types; null for an optional output that the attributes switch off. Inputs were validated by the
   * public function, so this only computes.
   */
  infer(inputs: readonly (Spec | null)[], attributes: Attributes): (Spec | null)[];
  /** Gradients with respect to each input, written in operators; null where there is none. Absent: not differentiable. */
  gradient?(context: GradientContext): (Value | null)[];
  /** Work of one call: multiplications and additions counted separately, and bytes read and written at least once. */
  cost(
    inputs: readonly (Spec | null)[],
    outputs: readonly (Spec | null)[],
    attributes: Attributes,
  ): { flops: number; bytes: number };
}

// Set while a function is traced: operators on concrete tensors alone (a weight that is reshaped, say) are then recorded
// too, else they would be computed once and for all, and no gradient would reach the tensors.
let active: Recorder | null = null;

/** Runs `body` with every operator recorded by `recorder`, also those that see concrete tensors only. */
export function recordWith<T>(recorder: Recorder, body: () => T): T {
  const outer = active;
  active = recorder;
  try {
    return body();
  } finally {
    active = outer;
  }
}

/** The recorder of the function that is being traced now, if one is. */
export function activeRecorder(): Recorder | null {
  return active;
}

/** Bytes of all operands: the cost rule of everything that reads and writes each element once. */
export function touchedBytes(operands: readonly (Spec | null)[]): number {
  const width = { float32: 4, float64: 8, int32: 4, uint8: 1 } as const;
  return operands.reduce((sum, spec) => sum + (spec ? sizeOf(spec.shape) * width[spec.dtype] : 0), 0);
}

/**
 * Runs or records a primitive operator. Called by public functions after validation, and by gradient rules.
 * @param inplace  per output: the index of the input whose memory it takes (optimizer updates)
 */
export function apply(
  operator: Operator,
  inputs: readonly Maybe<Value>[],
  attributes: Attributes = {},
  inplace: readonly number[] = [],
): (Value | null)[] {
  const recorder = active ?? inputs.find((value): value is Traced => value instanceof Traced)?.recorder;
  if (recorder) return recorder.record(operator, inputs, attributes, inplace);
  return compute(operator, inputs as readonly Maybe<Tensor>[], attributes, inplace);
}

/** `apply` for operators with one output. */
export function apply1(operator: Operator, inputs: readonly Maybe<Value>[], attributes: Attributes = {}): Value {
  const [output] = apply(operator, inputs, attributes);
  if (!output) throw new FoveaError('ERR_GRAPH', operator.name, 'the operator gave no output');
  return output;
}

// Eager calls compile a program of one step; the same call again finds it here. Small, since each holds an arena.
const compiled = new Map<string, CompiledProgram>();
const compiledMost = 64;

function compute(
  operator: Operator,
  inputs: readonly Maybe<Tensor>[],
  attributes: Attributes,
  inplace: readonly number[],
): (Tensor | null)[] {
  const specs = inputs.map((tensor) => (tensor ? { shape: tensor.shape, dtype: tensor.dtype } : null));
  const outputSpecs = operator.infer(specs, attributes);
  const outputs = outputSpecs.map((spec, i) => {
    if (!spec) return null;
    const shared = inplace[i];
    if (shared !== undefined) return inputs[shared] as Tensor;
    return new Tensor(spec.shape, allocate(spec.dtype, sizeOf(spec.shape), operator.name));
  });
  // Nothing to compute: an empty batch, say. Sums over nothing are the zeros that the output holds already.
  const nothing = inplace.length === 0 && inputs.some((tensor) => tensor?.size === 0);
  if (nothing || outputs.every((tensor) => !tensor || tensor.size === 0)) return outputs;
  const program = singleStep(operator.name, specs, outputSpecs, attributes, inplace);
  const backend = backendFor(
    operator.name,
    [...specs, ...outputSpecs].flatMap((spec) => (spec ? [spec.dtype] : [])),
  );
  const arrays: TypedArray[] = [];
  for (const tensor of inputs) if (tensor) arrays.push(tensor.data);
  outputs.forEach((tensor, i) => {
    if (tensor && inplace[i] === undefined) arrays.push(tensor.data);
  });
  compileCached(backend, program).runSync(arrays);
  return outputs;
}

function singleStep(
  name: string,
  inputs: readonly (Spec | null)[],
  outputs: readonly (Spec | null)[],
  attributes: Attributes,
  inplace: readonly number[],
): Program {
  const values: (Spec & { external: number })[] = [];
  const add = (spec: Spec | null): number => {
    if (!spec) return -1;
    return values.push({ ...spec, external: values.length }) - 1;
  };
  const inputIds = inputs.map(add);
  const outputIds = outputs.map((spec, i) => (inplace[i] === undefined ? add(spec) : (inputIds[inplace[i]] as number)));
  const step: ProgramStep = { operator: name, inputs: inputIds, outputs: outputIds, attributes };
  return { values, steps: [step], externals: values.length };
}

function compileCached(backend: Backend, program: Program): CompiledProgram {
  const key = `${backend.name} ${JSON.stringify(program)}`;
  let found = compiled.get(key);
  if (found) {
    compiled.delete(key); // and set again below: the map is in order of last use
  } else {
    found = backend.compile(lower(program, backend.layouts, 0));
    if (compiled.size >= compiledMost) {
      const [oldest, idle] = compiled.entries().next().value as [string, CompiledProgram];
      idle.dispose();
      compiled.delete(oldest);
    }
  }
  compiled.set(key, found);
  return found;
}
