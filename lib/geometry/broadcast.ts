import { FoveaError } from '../errors.js';
import { formatShape } from '../tensor.js';

/**
 * The common shape of two operands: axes are aligned at the end, an axis of 1 (or none) is repeated.
 * Source: NumPy, "Broadcasting".
 * @throws FoveaError ERR_SHAPE
 */
export function broadcastShape(operator: string, a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const m = a[i - rank + a.length] ?? 1;
    const n = b[i - rank + b.length] ?? 1;
    if (m !== n && m !== 1 && n !== 1) {
      throw new FoveaError(
        'ERR_SHAPE',
        operator,
        `${formatShape(a)} and ${formatShape(b)} do not broadcast: axis ${i} is ${m} in one and ${n} in the other`,
      );
    }
    return m === 1 ? n : m;
  });
}

/** True when a value of shape `from` repeats to shape `to`. */
export function broadcastsTo(from: readonly number[], to: readonly number[]): boolean {
  const lead = to.length - from.length;
  return lead >= 0 && from.every((n, i) => n === 1 || n === to[i + lead]);
}
