import { placeIntervals } from './arena.js';
import type { OperandLayouts, Precision, ProgramSpec, ProgramStep, ProgramValue, Spec } from './backend.js';
import { assignLayouts, bytesOf, type LaidOut, type LaidOutValue } from './layout.js';

/** What is to be computed, before a backend's layouts and places are decided. Every value is plain. */
export interface Program {
  /** `external`: given by the caller at each run under that number, as input, as output or both. */
  readonly values: readonly (Spec & { readonly external?: number })[];
  readonly steps: readonly ProgramStep[];
  readonly externals: number;
}

/**
 * Decides layouts (inserting `reorder` steps), turns `reshape` into aliases where it can, and gives every value that
 * is not external its place in one arena by lifetime.
 * @param layouts  the backend's operand letters; empty: everything stays plain
 * @param threads  handed on; 0 is the backend's default
 * @param precision  handed on
 * @throws FoveaError ERR_GRAPH when a step reads a value that no earlier step wrote
 */
export function lower(
  program: Program,
  layouts: ReadonlyMap<string, OperandLayouts>,
  threads: number,
  precision: Precision = 'highest',
): ProgramSpec {
  const laidOut = withoutUnused(assignLayouts(program, layouts));
  const { offsets, bytes } = placeStorages(laidOut);
  const values = laidOut.values.map(({ shape, dtype, layout, external, storage }): ProgramValue => {
    if (external !== undefined) return { shape, dtype, layout, external };
    return { shape, dtype, layout, offset: offsets.get(storage) ?? 0 };
  });
  return { values, steps: laidOut.steps, externals: program.externals, arenaBytes: bytes, threads, precision };
}

// Each storage lives from the first step that touches one of its names to the last. A step's outputs live together with
// its inputs, since operators may write before they have read everything.
function placeStorages({ values, steps }: LaidOut): { offsets: Map<number, number>; bytes: number } {
  const intervals = new Map<number, { bytes: number; from: number; to: number }>();
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
  const storages = [...intervals.keys()];
  const placed = placeIntervals([...intervals.values()]);
  return {
    offsets: new Map(storages.map((storage, i) => [storage, placed.offsets[i] as number])),
    bytes: placed.bytes,
  };
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
