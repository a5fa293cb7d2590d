import { placeIntervals } from './arena.js';
import type { OperandLayouts, Precision, ProgramSpec, ProgramStep, ProgramValue, Spec } from './backend.js';
import { assignLayouts, bytesOf, type LaidOut, type LaidOutValue } from './layout.js';
import { roundedValues } from './storage.js';

/** What is to be computed, before a backend's layouts and places are decided. Every value is plain. */
export interface Program {
  /** `external`: given by the caller at each run under that number, as input, as output or both. */
  readonly values: readonly (Spec & { readonly external?: number })[];
  readonly steps: readonly ProgramStep[];
  readonly externals: number;
  /** See `ProgramSpec`. */
  readonly steady?: readonly number[];
  readonly frozen?: boolean;
}

/**
 * Decides layouts (inserting `reorder` steps), turns `reshape` into aliases where it can, and gives every value that
 * is not external its place in one arena by lifetime.
 * @param layouts  the backend's operand letters; empty: everything stays plain
 * @param threads  handed on; 0 is the backend's default
 * @param precision  handed on
 * @param storage  the backend's letters of operands that may lie as bfloat16, which precision 'medium' makes use of
 * @throws FoveaError ERR_GRAPH when a step reads a value that no earlier step wrote
 */
export function lower(
  program: Program,
  layouts: ReadonlyMap<string, OperandLayouts>,
  threads: number,
  precision: Precision = 'highest',
  storage: ReadonlyMap<string, OperandLayouts> = new Map(),
): ProgramSpec {
  const rounded = precision === 'medium' ? roundedValues(program, layouts, storage) : new Set<number>();
  const laidOut = withoutUnused(assignLayouts(program, layouts, rounded));
  const { offsets, bytes } = placeStorages(laidOut);
  const values = laidOut.values.map(({ shape, dtype, layout, external, storage }): ProgramValue => {
    if (external !== undefined) return { shape, dtype, layout, external };
    return { shape, dtype, layout, offset: offsets.get(storage) ?? 0 };
  });
  const { externals, steady = [], frozen = false } = program;
  return { values, steps: laidOut.steps, externals, steady, frozen, arenaBytes: bytes, threads, precision };
}

/** An output, and inputs whose memory it may take, the best first. */
type Taking = readonly [output: number, inputs: readonly number[]];

// dx and the masked gradient. That one first, while there is a choice: dx takes what is left.
const normBackward: readonly Taking[] = [
  [3, [0, 2]],
  [0, [0, 1]],
];

/**
 * By operator. On either backend an element of such an output is written when the elements at its place of these inputs
 * have been read for the last time. Reading and writing one place costs a good part less than reading one and writing
 * another, which has to be fetched first.
 */
const overwrites: ReadonlyMap<string, readonly Taking[]> = new Map<string, readonly Taking[]>([
  ['relu', [[0, [0]]]],
  ['reluBackward', [[0, [0, 1]]]],
  ['add', [[0, [0, 1]]]],
  ['sub', [[0, [0, 1]]]],
  ['mul', [[0, [0, 1]]]],
  ['batchNormTrain', [[0, [5, 0]]]],
  ['batchNormInfer', [[0, [5, 0]]]],
  ['batchNormTrainBackward', normBackward],
  ['batchNormInferBackward', normBackward],
]);

type Lifetimes = Map<number, { bytes: number; from: number; to: number }>;

function placeStorages(laidOut: LaidOut): { offsets: Map<number, number>; bytes: number } {
  const intervals = lifetimes(laidOut);
  const owners = overwritten(laidOut, intervals);
  const storages = [...intervals.keys()];
  const placed = placeIntervals([...intervals.values()]);
  const offsets = new Map(storages.map((storage, i) => [storage, placed.offsets[i] as number]));
  for (const [storage, owner] of owners) offsets.set(storage, offsets.get(owner) as number);
  return { offsets, bytes: placed.bytes };
}

// Each storage lives from the first step that touches one of its names to the last. A step's outputs live together with
// its inputs, since operators may write before they have read everything.
function lifetimes({ values, steps }: LaidOut): Lifetimes {
  const intervals: Lifetimes = new Map();
  steps.forEach((step, i) => {
    for (const id of [...step.inputs, ...step.outputs]) {
      const value = id < 0 ? undefined : (values[id] as LaidOutValue);
      if (!value || value.external !== undefined) continue;
      const bytes = bytesOf(value, value.layout);
      const interval = intervals.get(value.storage);
      if (!interval) intervals.set(value.storage, { bytes, from: i, to: i });
      else {
        interval.bytes = Math.max(interval.bytes, bytes);
        interval.to = i;
      }
    }
  });
  return intervals;
}

/**
 * Lets outputs take the memory of inputs that nothing reads later, where the operator can: the input's interval then
 * covers the output's.
 * @returns for each storage that lost its own interval the one that holds it
 */
function overwritten({ values, steps }: LaidOut, intervals: Lifetimes): Map<number, number> {
  const owners = new Map<number, number>();
  const take = (output: LaidOutValue | undefined, input: LaidOutValue | undefined, step: number): boolean => {
    const made = output && intervals.get(output.storage);
    const owner = input && (owners.get(input.storage) ?? input.storage);
    const dying = owner === undefined ? undefined : intervals.get(owner);
    if (!made || made.from !== step || !dying || dying.from === step || dying.to !== step) return false;
    if (!sameElements(input as LaidOutValue, output)) return false;
    dying.to = made.to;
    intervals.delete(output.storage);
    owners.set(output.storage, owner as number);
    return true;
  };
  steps.forEach((step, i) => {
    for (const [output, inputs] of overwrites.get(step.operator) ?? []) {
      for (const input of inputs) {
        if (take(values[step.outputs[output] ?? -1], values[step.inputs[input] ?? -1], i)) break;
      }
    }
  });
  return owners;
}

function sameElements(a: LaidOutValue, b: LaidOutValue): boolean {
  return a.dtype === b.dtype && a.layout === b.layout && String(a.shape) === String(b.shape);
}

// Drops values that no step touches (externals stay: their arrays are checked at each run) and renumbers the rest.
function withoutUnused({ values, steps }: LaidOut): LaidOut {
  const used = new Set(steps.flatMap((step) => [...step.inputs, ...step.outputs]));
  const kept = values.flatMap((value, i) => (used.has(i) || value.external !== undefined ? [i] : []));
  const number = new Map(kept.map((id, i) => [id, i]));
  const renumber = (ids: readonly number[]) => ids.map((id) => number.get(id) ?? -1);
  return {
    values: kept.map((id) => values[id] as LaidOutValue), // `storage` is only compared, so its old number will do
    steps: steps.map((step) => ({ ...step, inputs: renumber(step.inputs), outputs: renumber(step.outputs) })),
  };
}
