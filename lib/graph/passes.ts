import type { Limits, ProgramSpec, ProgramStep, ProgramValue, Units } from '../backend/backend.js';
import { bytesOf } from '../backend/layout.js';
import type { Graph } from './graph.js';

/** One pass over memory: a step of a program, with what it costs and what the last run took. */
export interface Pass {
  readonly operator: string;
  /** Shape of the first output. */
  readonly shape: readonly number[];
  /** Read and written, each operand once, in its layout. */
  readonly bytes: number;
  /** Multiplications and additions of the operator's formula, whatever the algorithm makes of them. */
  readonly flops: number;
  /** 0 before the first run. */
  readonly milliseconds: number;
  /** Algorithm, kernel and blocking. */
  readonly describe: string;
}

/** The steps of a program, in the order in which they run. */
export function passesOf(
  graph: Graph,
  spec: ProgramSpec,
  descriptions: readonly string[],
  times: readonly number[],
): Pass[] {
  const operators = new Map(graph.nodes.map(({ operator }) => [operator.name, operator]));
  return spec.steps.map((step, i) => {
    const [inputs, outputs] = operandsOf(spec, step);
    return {
      operator: step.operator,
      shape: outputs.find((value) => value !== null)?.shape ?? [],
      bytes: [...inputs, ...outputs].reduce((sum, value) => sum + (value ? bytesOf(value, value.layout) : 0), 0),
      flops: operators.get(step.operator)?.cost(inputs, outputs, step.attributes).flops ?? 0, // none: a reorder or an assign
      milliseconds: times[i] ?? 0,
      describe: descriptions[i] ?? '',
    };
  });
}

/** Inputs and outputs of a step; null where an optional one is absent. */
export function operandsOf(spec: ProgramSpec, step: ProgramStep): [(ProgramValue | null)[], (ProgramValue | null)[]] {
  const operand = (id: number) => (id < 0 ? null : (spec.values[id] as ProgramValue));
  return [step.inputs.map(operand), step.outputs.map(operand)];
}

/** `conv2d: bf16: brgemm_amx x32, …` without the operator that native descriptions begin with. */
export function algorithmOf({ operator, describe }: Pick<Pass, 'operator' | 'describe'>): string {
  return describe.replace(`${operator}: `, '');
}

/** The time below which a pass cannot come. */
export interface Limit {
  readonly binds: 'arithmetic' | 'memory';
  readonly milliseconds: number;
}

/**
 * What binds a pass: the arithmetic of its algorithm at the peak of the units that it uses, or moving each operand once
 * at the bandwidth that so many bytes can have.
 */
export function limitOf(pass: Pass, limits: Limits): Limit {
  const { units, share } = arithmeticOf(algorithmOf(pass));
  const arithmetic = (pass.flops * share) / limits[units] / 1e6;
  const memory = pass.bytes / limits.bandwidth(pass.bytes) / 1e6;
  return arithmetic > memory
    ? { binds: 'arithmetic', milliseconds: arithmetic }
    : { binds: 'memory', milliseconds: memory };
}

/** The units that a pass multiplies with. */
export const unitsOf = (pass: Pass): Units => arithmeticOf(algorithmOf(pass)).units;

/** The units that an algorithm uses, and its operations for each one of the formula. */
function arithmeticOf(algorithm: string): { units: Units; share: number } {
  const winograd = /^winograd (\d)x\d( of stride 2)?(?: of (\d) taps)?(?: dilated)?( in int16)?/;
  const [, tile, strided, taps = 3, pairs] = winograd.exec(algorithm) ?? [];
  if (tile !== undefined) {
    const [m, r] = [Number(tile), Number(taps)]; // for m outputs along an axis; the transforms are not counted
    const products = strided ? 2 * m + 1 : m + r - 1;
    return { units: pairs ? 'int16' : 'float32', share: (products / (r * m)) ** 2 };
  }
  const [, products] = /, (\d) products/.exec(algorithm) ?? []; // of bfloat16, for each one of float32
  return products === undefined ? { units: 'float32', share: 1 } : { units: 'bfloat16', share: Number(products) };
}
