import type { Operator } from '../../lib/ops/operator.js';
import { Tensor } from '../../lib/tensor.js';
import { Make, type Numbers, seedOf } from '../helpers/make.js';
import { type Call, runReference } from '../helpers/reference.js';
import { largest } from './cases/case.js';
import type { Case } from './cases/index.js';

/** A case with its operands filled in. */
export function callOf(
  operator: Operator,
  row: Case,
  numbers: Numbers,
  dtype: 'float32' | 'float64' = 'float32',
): Call {
  const inputs = row.inputs(new Make(seedOf(`${operator.name} ${row.name}`), numbers, dtype));
  return {
    operator: operator.name,
    inputs,
    outputs: operator.infer(inputs, row.attributes),
    attributes: row.attributes,
    inplace: row.inplace ?? [],
    counter: row.counter ?? 0,
  };
}

/** What an operator must give, and how far off each element may be. */
export interface Expected {
  readonly outputs: readonly (Tensor | null)[];
  readonly tolerance: readonly (Float64Array | null)[];
}

const epsilon = 2 ** -24; // half the distance of 1 and the next float32: one rounding

/** The reference's answer for a call made by `callOf`, with the tolerance that the case's agreement allows. */
export function expectedOf(operator: Operator, row: Case, numbers: 'integers' | 'reals'): Expected {
  const { agreement } = row;
  const exact =
    agreement.kind === 'same' || (agreement.kind === 'sums' && !agreement.divides && numbers === 'integers');
  // In-place operators change their inputs, so each run takes a call of its own.
  const call = callOf(operator, row, numbers, exact ? 'float32' : 'float64');
  const before = call.inputs.map((tensor) => tensor?.clone() ?? null);
  const outputs = runReference(call);
  const bounds = exact ? null : boundsOf(operator, row, { ...call, inputs: before }, outputs);
  const tolerance = outputs.map((tensor, i) => {
    if (!tensor) return null;
    if (!bounds || tensor.dtype === 'int32' || tensor.dtype === 'uint8') return new Float64Array(tensor.size);
    return Float64Array.from(tensor.data, (_, j) => bounds(i, j));
  });
  return { outputs, tolerance };
}

type Bound = (output: number, element: number) => number;

function boundsOf(operator: Operator, row: Case, call: Call, outputs: readonly (Tensor | null)[]): Bound {
  const { agreement } = row;
  if (agreement.kind === 'near') {
    const scale = agreement.scale?.(call.inputs, outputs) ?? [];
    const most = outputs.map((tensor, i) => Math.max(scale[i] ?? 0, largest(tensor)));
    return (output) => agreement.ulps * epsilon * (most[output] as number);
  }
  const rerun = (from: Call): (Tensor | null)[] => runReference({ ...from, attributes: linear(row) });
  const magnitudes = rerun({ ...call, inputs: call.inputs.map(absolute) });
  const known = agreement.kind === 'sums' ? agreement.terms : undefined;
  const terms = known === undefined ? rerun(callOf(operator, row, 'ones', 'float64')) : null;
  return (output, element) => {
    const count = known ?? (terms?.[output]?.data[element] as number);
    return epsilon * (count + 2) * (magnitudes[output]?.data[element] as number);
  };
}

function linear({ attributes }: Case): Case['attributes'] {
  return { ...attributes, ...('activation' in attributes ? { activation: 'none' } : {}) };
}

/** The sums of the absolute values of an operator's products, for a case whose results are sums of products. */
export function magnitudesOf(operator: Operator, row: Case): (Tensor | null)[] {
  const call = callOf(operator, row, 'reals', 'float64');
  return runReference({ ...call, inputs: call.inputs.map(absolute), attributes: linear(row) });
}

function absolute(tensor: Tensor | null): Tensor | null {
  return tensor?.dtype === 'float64' ? new Tensor(tensor.shape, (tensor.data as Float64Array).map(Math.abs)) : tensor;
}

/** The first element that is too far off, in words; undefined when all agree. */
export function firstDifference(
  actual: readonly (Tensor | null)[],
  { outputs, tolerance }: Expected,
): string | undefined {
  for (const [i, expected] of outputs.entries()) {
    const got = actual[i];
    if (!expected || !got) continue;
    for (let j = 0; j < expected.size; j++) {
      const a = got.data[j] as number;
      const e = expected.data[j] as number;
      if (a === e || (Number.isNaN(a) && Number.isNaN(e))) continue;
      const allowed = tolerance[i]?.[j] as number;
      if (Math.abs(a - e) <= allowed) continue;
      return `output ${i} [${expected.shape}] element ${j}: native ${a}, reference ${e}, off by ${Math.abs(a - e)}, allowed ${allowed}`;
    }
  }
  return undefined;
}
