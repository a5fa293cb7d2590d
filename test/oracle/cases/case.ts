import type { Attributes } from '../../../lib/backend/backend.js';
import type { Tensor } from '../../../lib/tensor.js';
import type { Make } from '../../helpers/make.js';

/** How closely native must follow the reference. */
export type Agreement =
  /** The same values, whatever they are: nothing is rounded, or both round alike. */
  | { readonly kind: 'same' }
  /**
   * Sums of products of operands. On small integers the same values. On reals each output may be off by
   * eps · (terms + 2) · Σ|products|, the bound of any order of summation (Higham, "Accuracy and stability", 3.1); both
   * factors come from the reference itself, run on ones and on absolute values. `terms`: their number, where ones do not
   * count them. `divides`: a division follows, so that integers are not exact either.
   */
  | { readonly kind: 'sums'; readonly terms?: number; readonly divides?: boolean }
  /** Each output may be off by ulps · eps · the larger of max|expected| and the output's `scale`. */
  | {
      readonly kind: 'near';
      readonly ulps: number;
      readonly scale?: (inputs: readonly (Tensor | null)[], outputs: readonly (Tensor | null)[]) => readonly number[];
    };

/** One point of an operator's hyperparameter grid. */
export interface Case {
  readonly name: string;
  readonly attributes: Attributes;
  readonly inputs: (make: Make) => (Tensor | null)[];
  readonly agreement: Agreement;
  /** Per output: the input whose memory it takes. */
  readonly inplace?: readonly number[];
  readonly counter?: number;
  /** Too large, or too flat, for finite differences. */
  readonly oracleOnly?: boolean;
}

export type Cases = Readonly<Record<string, readonly Case[]>>;

export const same: Agreement = { kind: 'same' };
export const sums: Agreement = { kind: 'sums' };

/** Largest |element| of the operands present. */
export function largest(...tensors: (Tensor | null | undefined)[]): number {
  let most = 0;
  for (const tensor of tensors) for (const value of tensor?.data ?? []) most = Math.max(most, Math.abs(value));
  return most;
}
