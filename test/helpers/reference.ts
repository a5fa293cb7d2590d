import type { Attributes, ProgramSpec, ProgramValue, Spec } from '../../lib/backend/backend.js';
import { referenceBackend } from '../../lib/backend/reference/index.js';
import { allocate, sizeOf, Tensor } from '../../lib/tensor.js';
import { remembered } from './remembered.js';

/** Everything one call of a primitive operator takes. */
export interface Call {
  readonly operator: string;
  readonly inputs: readonly (Tensor | null)[];
  readonly outputs: readonly (Spec | null)[];
  readonly attributes: Attributes;
  /** Per output: the input whose memory it takes. */
  readonly inplace?: readonly number[];
  readonly counter?: number;
}

/**
 * Runs one operator on the reference backend and nothing else: no validation, no lowering, no choice of a backend.
 * Float outputs start as NaN, so that an element nobody writes is seen. Unless it changes its inputs, an operator whose
 * call has been made before in this run of the tests is not run again.
 */
export function runReference(call: Call): (Tensor | null)[] {
  return call.inplace?.some((shared) => shared !== undefined) ? compute(call) : remembered(call, compute);
}

function compute({ operator, inputs, outputs, attributes, inplace = [], counter = 0 }: Call): (Tensor | null)[] {
  const values: ProgramValue[] = [];
  const arrays: Tensor['data'][] = [];
  const add = (tensor: Tensor): number => {
    arrays.push(tensor.data);
    return values.push({ shape: tensor.shape, dtype: tensor.dtype, layout: 'plain', external: values.length }) - 1;
  };
  const ids = inputs.map((tensor) => (tensor ? add(tensor) : -1));
  const results = outputs.map((spec, i) => {
    if (!spec) return null;
    const shared = inplace[i];
    if (shared !== undefined) return inputs[shared] as Tensor;
    return new Tensor(spec.shape, allocate(spec.dtype, sizeOf(spec.shape)).fill(Number.NaN));
  });
  const outputIds = results.map((tensor, i) => {
    const shared = inplace[i];
    if (shared !== undefined) return ids[shared] as number;
    return tensor ? add(tensor) : -1;
  });
  const steps = [{ operator, inputs: ids, outputs: outputIds, attributes }];
  const spec: ProgramSpec = { values, steps, externals: arrays.length, arenaBytes: 0, threads: 1 };
  referenceBackend.compile(spec).runSync(arrays, counter);
  return results;
}
