import type { Spec } from '../../backend/backend.js';
import { FoveaError, show } from '../../errors.js';
import { type DType, formatShape, isDetached, Tensor } from '../../tensor.js';
import { Traced, type Value } from '../operator.js';

const floats: readonly DType[] = ['float32', 'float64'];

/**
 * The operand itself, once it is a tensor or traced value whose array is still there.
 * @throws FoveaError ERR_DTYPE, ERR_DATA
 */
export function operand(operator: string, name: string, value: unknown): Value {
  if (value instanceof Traced) return value;
  if (!(value instanceof Tensor)) {
    const hint =
      typeof value === 'object' && value?.constructor === Object
        ? '; options come after all tensors'
        : '; tensor(values) makes one';
    throw new FoveaError('ERR_DTYPE', operator, `${name} must be a Tensor, got ${show(value)}${hint}`);
  }
  if (value.data.length !== value.size) {
    const what = isDetached(value.data)
      ? 'is detached: its buffer was transferred'
      : `has ${value.data.length} elements now`;
    throw new FoveaError('ERR_DATA', operator, `the array of ${name} ${formatShape(value.shape)} ${what}`);
  }
  return value;
}

/** `operand` for one that may be left out; null when it is. */
export function optional(operator: string, name: string, value: unknown): Value | null {
  return value === undefined || value === null ? null : operand(operator, name, value);
}

/**
 * Checks that all operands present are floating point and of one type.
 * @throws FoveaError ERR_DTYPE
 */
export function sameFloats(operator: string, operands: Readonly<Record<string, Value | null>>): void {
  let first: [string, DType] | undefined;
  for (const [name, value] of Object.entries(operands)) {
    if (!value) continue;
    if (!floats.includes(value.dtype)) {
      throw new FoveaError('ERR_DTYPE', operator, `${name} must be float32 or float64, got ${value.dtype}`);
    }
    first ??= [name, value.dtype];
    if (value.dtype !== first[1]) {
      throw new FoveaError(
        'ERR_DTYPE',
        operator,
        `${name} is ${value.dtype}, ${first[0]} is ${first[1]}; both must be the same`,
      );
    }
  }
}

/** @throws FoveaError ERR_SHAPE */
export function rankOf(operator: string, name: string, value: Spec, layout: string): void {
  const rank = layout === '' ? 0 : layout.split(',').length;
  if (value.shape.length === rank) return;
  throw new FoveaError(
    'ERR_SHAPE',
    operator,
    `${name} must be [${layout}] (rank ${rank}), got ${formatShape(value.shape)} (rank ${value.shape.length})`,
  );
}

/** @throws FoveaError ERR_SHAPE */
export function shapeOf(operator: string, name: string, value: Spec | null, shape: readonly number[], why = ''): void {
  if (!value || (value.shape.length === shape.length && value.shape.every((n, i) => n === shape[i]))) return;
  throw new FoveaError(
    'ERR_SHAPE',
    operator,
    `${name} must be ${formatShape(shape)}${why}, got ${formatShape(value.shape)}`,
  );
}

/** The spec of an operand that is never absent. */
export function spec(operands: readonly (Spec | null)[], i: number): Spec {
  return operands[i] as Spec;
}
