import type { Spec } from '../backend/backend.js';
import { FoveaError } from '../errors.js';
import { broadcastShape } from '../geometry/broadcast.js';
import { checkOptions, flag } from '../geometry/options.js';
import { checkElements } from '../geometry/window.js';
import { formatShape, sizeOf, type Tensor } from '../tensor.js';
import { operand, sameFloats, spec } from './internal/check.js';
import { withShape } from './internal/shapes.js';
import { apply1, type Operator, touchedBytes, type Value } from './operator.js';
import { sumTo } from './sum-to.js';

export interface MatmulOptions {
  /** Multiplies with the transpose of `a` (its last two axes). Default false. */
  readonly transposeA?: boolean;
  /** Multiplies with the transpose of `b` (its last two axes). Default false. */
  readonly transposeB?: boolean;
}

/** The last two axes as the product sees them. */
function matrix({ shape }: Spec, transposed: unknown): [rows: number, columns: number] {
  const [rows, columns] = shape.slice(-2) as [number, number];
  return transposed ? [columns, rows] : [rows, columns];
}

/** a [..., M, K], b [..., K, N] → [..., M, N] { transposeA, transposeB }; leading axes broadcast */
export const matmulOperator: Operator = {
  name: 'matmul',
  infer(inputs, { transposeA, transposeB }) {
    const [a, b] = inputs as [Spec, Spec];
    const batch = broadcastShape('matmul', a.shape.slice(0, -2), b.shape.slice(0, -2));
    return [{ shape: [...batch, matrix(a, transposeA)[0], matrix(b, transposeB)[1]], dtype: a.dtype }];
  },
  // With op(a)·op(b) = y: ∂op(a) = dy·op(b)ᵀ, ∂op(b) = op(a)ᵀ·dy; a transposed operand takes the transpose of that.
  gradient({ inputs, gradOutputs, attributes, wanted }) {
    const [a, b] = inputs as [Value, Value];
    const dy = gradOutputs[0] as Value;
    const [ta, tb] = [attributes.transposeA === true, attributes.transposeB === true];
    const da = () => (ta ? product(b, dy, tb, true) : product(dy, b, false, !tb));
    const db = () => (tb ? product(dy, a, true, ta) : product(a, dy, !ta, false));
    return [wanted[0] ? sumTo(da(), a.shape) : null, wanted[1] ? sumTo(db(), b.shape) : null];
  },
  cost(inputs, outputs, { transposeA }) {
    const flops = 2 * sizeOf(spec(outputs, 0).shape) * matrix(spec(inputs, 0), transposeA)[1];
    return { flops, bytes: touchedBytes([...inputs, ...outputs]) };
  },
};

function product(a: Value, b: Value, transposeA: boolean, transposeB: boolean): Value {
  return apply1(matmulOperator, [a, b], { transposeA, transposeB });
}

/**
 * Matrix product y[…,m,n] = Σ_k a[…,m,k] · b[…,k,n] over the last two axes; the axes before them broadcast.
 * A vector (rank 1) is a row on the left and a column on the right, and its axis is gone from the result; transposing it
 * changes nothing. Source: PyTorch `torch.matmul`.
 * @param a  [..., M, K] (with transposeA [..., K, M]) or [K], float32 or float64
 * @param b  [..., K, N] (with transposeB [..., N, K]) or [K]
 * @returns  [..., M, N]
 * @throws FoveaError ERR_SHAPE (scalars, inner sizes that differ, batches that do not broadcast), ERR_OPTION, ERR_DTYPE,
 *   ERR_DATA, ERR_MEMORY
 */
export function matmul(a: Tensor, b: Tensor, options?: MatmulOptions): Tensor;
export function matmul(a: Value, b: Value, options?: MatmulOptions): Value;
export function matmul(a: Value, b: Value, options: MatmulOptions = {}): Value {
  const left = operand('matmul', 'a', a);
  const right = operand('matmul', 'b', b);
  sameFloats('matmul', { a: left, b: right });
  checkOptions('matmul', options, ['transposeA', 'transposeB']);
  for (const [name, { shape }] of Object.entries({ a: left, b: right })) {
    if (shape.length === 0)
      throw new FoveaError('ERR_SHAPE', 'matmul', `${name} must have at least one axis, got a scalar`);
  }
  const row = left.shape.length === 1 ? withShape(left, [1, ...left.shape]) : left;
  const column = right.shape.length === 1 ? withShape(right, [...right.shape, 1]) : right;
  const transposeA = flag('matmul', 'transposeA', options.transposeA ?? false) && row === left;
  const transposeB = flag('matmul', 'transposeB', options.transposeB ?? false) && column === right;
  checkInner(left, right, matrix(row, transposeA)[1], matrix(column, transposeB)[0]);
  const [full] = matmulOperator.infer([row, column], { transposeA, transposeB }) as [Spec];
  checkElements('matmul', 'the product', full.shape);
  const y = product(row, column, transposeA, transposeB);
  const rank = full.shape.length;
  const added = (axis: number) => (row !== left && axis === rank - 2) || (column !== right && axis === rank - 1);
  return withShape(
    y,
    full.shape.filter((_, axis) => !added(axis)),
  );
}

function checkInner(a: Value, b: Value, left: number, right: number): void {
  if (left === right && left > 0) return;
  const both = `a ${formatShape(a.shape)}, b ${formatShape(b.shape)}`;
  if (left === right)
    throw new FoveaError('ERR_SHAPE', 'matmul', `there is nothing to sum over: the inner size is 0 (${both})`);
  throw new FoveaError('ERR_SHAPE', 'matmul', `a has ${left} columns, b has ${right} rows (${both})`);
}
