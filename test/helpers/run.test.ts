import { expect, test } from 'vitest';
import type { Backend, ProgramSpec } from '../../lib/backend/backend.js';
import { referenceBackend } from '../../lib/backend/reference/index.js';
import { Tensor, type TypedArray } from '../../lib/tensor.js';
import { runGuarded } from './run.js';

/** The reference backend, with something done to the arrays after each run. */
function spoiling(spoil: (arrays: readonly TypedArray[], spec: ProgramSpec) => void): Backend {
  return {
    ...referenceBackend,
    compile(spec) {
      const program = referenceBackend.compile(spec);
      const runSync = (arrays: readonly TypedArray[]) => {
        program.runSync(arrays);
        spoil(arrays, spec);
      };
      return Object.assign(Object.create(program), {
        runSync,
        describe: () => ['spoiled'],
        dispose: () => program.dispose(),
      });
    },
  };
}

const call = {
  operator: 'relu',
  inputs: [Tensor.ones([2, 3])],
  outputs: [{ shape: [2, 3], dtype: 'float32' as const }],
  attributes: {},
};
const options = { threads: 1, layout: 'plain' as const };
const bytes = (array: TypedArray | undefined): DataView => new DataView((array as TypedArray).buffer);

test('a write one byte before, one byte after, or far after an operand is reported', () => {
  for (const [index, at] of [
    [0, -1],
    [1, 24],
    [1, -100],
    [0, 150],
  ] as const) {
    const backend = spoiling((arrays) => bytes(arrays[index]).setUint8((arrays[index]?.byteOffset ?? 0) + at, 1));
    expect(runGuarded(backend, call, options).damage, `byte ${at}`).toEqual([
      `${index === 0 ? 'input' : 'output'} 0: byte ${at} outside of it was written`,
    ]);
  }
});

test('a write to an input is reported', () => {
  const backend = spoiling((arrays) => arrays[0]?.fill(2, 5));
  expect(runGuarded(backend, call, options).damage).toEqual(['input 0 was changed']);
});

test('operands stand at odd offsets, outputs start as NaN, and a clean run is clean', () => {
  const seen: number[] = [];
  const backend = spoiling((arrays) => seen.push(...arrays.map((array) => array.byteOffset % 16)));
  const result = runGuarded(backend, { ...call, operator: 'assign' }, options);
  expect(result.damage).toEqual([]);
  expect([...(result.outputs[0]?.data ?? [])]).toEqual([1, 1, 1, 1, 1, 1]);
  expect(seen).toEqual([4, 4]);
});
