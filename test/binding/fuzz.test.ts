import { describe, expect, test } from 'vitest';
import { findAddon } from '../../lib/backend/addon-path.ts';
import type { Attributes, OperandLayouts, ProgramSpec, ProgramValue } from '../../lib/backend/backend.ts';
import { findNative } from '../../lib/backend/native.ts';
import { operatorsByName } from '../../lib/ops/table.ts';
import type { DType, TypedArray } from '../../lib/tensor.ts';
import type { Call } from '../helpers/reference.ts';
import { cases } from '../oracle/cases/index.ts';
import { callOf } from '../oracle/compare.ts';

// Every row of the native registry, from its oracle cases with one to three things wrong: make() refuses them or run() stays
// inside its buffers. Bands round every array show writes; a sanitizer build shows reads.
// FOVEA_FUZZ=<runs per operator> and FOVEA_FUZZ_SEED=<seed> for longer or repeated runs.

const runs = Number(process.env.FOVEA_FUZZ ?? 200);
const firstSeed = Number(process.env.FOVEA_FUZZ_SEED ?? 1);
// AddressSanitizer watches both ends of an allocation itself, reads included.
const sanitized = /asan/.test(process.env.LD_PRELOAD ?? '');
const band = sanitized ? 0 : 64;
const mostElements = 10_000;

/** Whole numbers below 2^32, the same for the same seed (mulberry32). */
class Dice {
  constructor(private state: number) {}
  word(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (t ^ (t >>> 14)) >>> 0;
  }
  below(n: number): number {
    return this.word() % n;
  }
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** A program as JSON would have it, free to be spoilt. */
interface Draft {
  values: (Mutable<ProgramValue> & { shape: number[] })[];
  inputs: number[];
  outputs: number[];
  attributes: Record<string, Attributes[string]>;
}

/** The right program of one call; operands that may be blocked all are, or none is. */
function draftOf(call: Call, letters: OperandLayouts, blocked: boolean): Draft {
  const values: Draft['values'] = [];
  const specs = [...call.inputs, ...call.outputs].filter((spec) => spec !== null);
  const allRank4 = specs.every(({ shape }) => shape.length === 4);
  const letterOf = (word: string, i: number): string => word[Math.min(i, word.length - 1)] ?? 'P';
  const add = (spec: { shape: readonly number[]; dtype: DType } | null, letter: string): number => {
    if (!spec) return -1;
    const lanes =
      letter === 'B' ||
      (letter === 'E' && blocked && allRank4) ||
      (letter === 'X' && blocked && spec.shape.length === 4);
    const layout = lanes ? 'blocked' : 'plain';
    return values.push({ shape: [...spec.shape], dtype: spec.dtype, layout, external: values.length }) - 1;
  };
  const inputs = call.inputs.map((tensor, i) => add(tensor, letterOf(letters.inputs, i)));
  const outputs = call.outputs.map((spec, i) => {
    const shared = call.inplace?.[i];
    return shared === undefined ? add(spec, letterOf(letters.outputs, i)) : (inputs[shared] as number);
  });
  return { values, inputs, outputs, attributes: structuredClone({ ...call.attributes }) };
}

const odd = [
  -1,
  0,
  0.5,
  1,
  2,
  3,
  7,
  16,
  17,
  255,
  256,
  257,
  Number.NaN,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  -(2 ** 40),
  1e300,
  -1e300,
];

function spoilNumber(x: number, dice: Dice): number {
  return dice.below(3) ? x + dice.pick([-2, -1, 1, 1, 2, x]) : dice.pick(odd);
}

function spoilAttribute(draft: Draft, dice: Dice): void {
  const name = dice.pick(Object.keys(draft.attributes));
  const value = draft.attributes[name];
  if (value === undefined) return;
  if (dice.below(20) === 0) delete draft.attributes[name];
  else if (typeof value === 'boolean') draft.attributes[name] = !value;
  else if (typeof value === 'number') draft.attributes[name] = spoilNumber(value, dice);
  else if (typeof value === 'string')
    draft.attributes[name] = dice.pick(['none', 'relu', 'reflect', 'circular', 'replicate', 'mean', 'nonsense']);
  else {
    const list = [...value];
    const at = dice.below(list.length + 1);
    if (at === list.length) list.push(1);
    else if (dice.below(10) === 0) list.pop();
    else list[at] = spoilNumber(list[at] as number, dice);
    draft.attributes[name] = list;
  }
}

function spoilShape(draft: Draft, dice: Dice): void {
  const { shape } = dice.pick(draft.values);
  if (shape.length > 0 && dice.below(8)) {
    const axis = dice.below(shape.length);
    const size = shape[axis] as number;
    shape[axis] = dice.pick([1, size - 1, size + 1, 2 * size, 17, 33, 0]);
  } else if (dice.below(2)) shape.pop();
  else shape.push(2);
}

function spoilOperands(draft: Draft, dice: Dice): void {
  const list = dice.pick([draft.inputs, draft.outputs]);
  const at = dice.below(list.length + 1);
  const what = dice.below(4);
  if (what === 0) list[at] = -1;
  else if (what === 1) list.pop();
  else if (what === 2) list[at] = dice.below(draft.values.length);
  else list.push(dice.below(draft.values.length));
}

function spoil(draft: Draft, dice: Dice): void {
  const what = dice.below(10);
  if (what < 4 && Object.keys(draft.attributes).length > 0) spoilAttribute(draft, dice);
  else if (what < 7) spoilShape(draft, dice);
  else if (what === 7) dice.pick(draft.values).dtype = dice.pick(['float32', 'int32', 'uint8', 'float64']);
  else if (what === 8) spoilOperands(draft, dice);
  else {
    const value = dice.pick(draft.values);
    value.layout = value.layout === 'plain' ? 'blocked' : 'plain';
  }
}

const constructors = { float32: Float32Array, float64: Float64Array, int32: Int32Array, uint8: Uint8Array } as const;

function elements({ shape, layout }: ProgramValue): number {
  return shape.reduce(
    (n, size, axis) => n * (layout === 'blocked' && axis === 1 ? Math.ceil(size / 16) * 16 : size),
    1,
  );
}

/** An array in the middle of a buffer of 0xa5, at its element's alignment and no better. */
function guarded(spec: ProgramValue, dice: Dice): { array: TypedArray; intact: () => boolean } {
  const type = constructors[spec.dtype];
  const n = Math.max(elements(spec), 0);
  const start = sanitized ? 0 : band + type.BYTES_PER_ELEMENT;
  const bytes = new Uint8Array(start + n * type.BYTES_PER_ELEMENT + band).fill(0xa5);
  const array = new type(bytes.buffer, start, n);
  const wild = dice.below(4) === 0;
  for (let i = 0; i < n; i++)
    array[i] =
      wild && dice.below(9) === 0 ? dice.pick([255, 2 ** 31 - 1, -(2 ** 31), Number.NaN, 1e38]) : dice.below(5);
  const end = start + array.byteLength;
  const rest = [bytes.subarray(0, start), bytes.subarray(end)];
  return { array, intact: () => rest.every((bytes) => bytes.every((byte) => byte === 0xa5)) };
}

function volume({ inputs }: Call): number {
  return inputs.reduce((n, tensor) => n + (tensor?.size ?? 0), 0);
}

const native = findNative().backend;
const known = /^(ERR_SHAPE|ERR_OPTION|ERR_DTYPE|ERR_DATA|ERR_BACKEND|ERR_MEMORY)$/;

/** Compiles and runs it. Returns whether it was run; what is wrong with it may only be thrown as a typed error. */
function survive(spec: ProgramSpec, dice: Dice, say: string): boolean {
  try {
    const program = native?.compile(spec);
    const arrays = spec.values.map((value) => guarded(value, dice));
    try {
      program?.runSync(arrays.map(({ array }) => array));
    } finally {
      for (const { intact } of arrays) expect(intact(), say).toBe(true);
      program?.dispose();
    }
    return true;
  } catch (error) {
    expect(error, say).toMatchObject({ code: expect.stringMatching(known) });
    return false;
  }
}

describe.runIf(native && 'exports' in findAddon())('one to three things wrong', () => {
  for (const [name, letters] of native?.layouts ?? []) {
    test(name, () => {
      const operator = operatorsByName.get(name);
      const calls = (operator ? (cases[name] ?? []) : [])
        .filter(({ oracleOnly }) => !oracleOnly)
        .map((row) => callOf(operator as NonNullable<typeof operator>, row, 'integers'))
        .sort((a, b) => volume(a) - volume(b))
        .filter((call, i) => i === 0 || volume(call) < mostElements);
      expect(calls.length).toBeGreaterThan(0);
      // Where even the smallest case is large, fewer runs.
      const times = Math.ceil(runs / Math.max(1, volume(calls[0] as Call) / mostElements));
      let ran = 0;
      for (let seed = firstSeed; seed < firstSeed + times; seed++) {
        const dice = new Dice(seed);
        const draft = draftOf(dice.pick(calls), letters, dice.below(2) === 1);
        for (let i = dice.below(4); i > 0; i--) spoil(draft, dice);
        const { values, inputs, outputs, attributes } = draft;
        const spec: ProgramSpec = {
          values,
          steps: [{ operator: name, inputs, outputs, attributes }],
          externals: values.length,
          arenaBytes: 0,
          threads: 2,
        };
        const say = `FOVEA_FUZZ=1 FOVEA_FUZZ_SEED=${seed} ${name} ${JSON.stringify(spec)}`;
        if (process.env.FOVEA_FUZZ_VERBOSE) process.stderr.write(`${say}\n`);
        if (survive(spec, dice, say)) ran++;
      }
      if (process.env.FOVEA_FUZZ_VERBOSE) process.stderr.write(`${name}: ${ran} of ${times} ran\n`);
      if (times > 50) expect(ran).toBeGreaterThan(times / 20); // else this tests nothing but refusals
    });
  }
});
