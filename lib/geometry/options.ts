import { FoveaError, show } from '../errors.js';

/** The largest hyperparameter and the largest number of elements: kernels count in 32 bits where it is faster. */
export const largest = 2 ** 31 - 1;

/**
 * Refuses option names that nobody reads: a misspelt `paddding` would otherwise be ignored.
 * @throws FoveaError ERR_OPTION
 */
export function checkOptions(operator: string, options: unknown, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new FoveaError(
      'ERR_OPTION',
      operator,
      `options must be an object like { ${known[0]}: … }, got ${show(options)}`,
    );
  }
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue;
    const near = known.find((candidate) => editDistance(name.toLowerCase(), candidate.toLowerCase()) <= 2);
    const hint = near ? `did you mean "${near}"?` : `known are ${known.join(', ')}`;
    throw new FoveaError('ERR_OPTION', operator, `unknown option "${name}"; ${hint}`);
  }
}

/** Insertions, deletions and substitutions between two words (Levenshtein 1966). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 0; i < a.length; i++) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j++) {
      const substituted = (row[j] as number) + (a[i] === b[j] ? 0 : 1);
      next.push(Math.min(substituted, (row[j + 1] as number) + 1, (next[j] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}

/** A whole number in [least, 2^31 − 1]. @throws FoveaError ERR_OPTION */
export function whole(operator: string, name: string, value: unknown, least: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > largest) {
    const range = typeof value === 'number' && value > largest ? `between ${least} and ${largest}` : `>= ${least}`;
    throw new FoveaError('ERR_OPTION', operator, `${name} must be a whole number ${range}, got ${show(value)}`);
  }
  return value;
}

/** A finite number in [least, most]. @throws FoveaError ERR_OPTION */
export function real(operator: string, name: string, value: unknown, least: number, most: number): number {
  if (typeof value !== 'number' || !(value >= least && value <= most) || !Number.isFinite(value)) {
    const range = most === Number.POSITIVE_INFINITY ? `>= ${least}` : `between ${least} and ${most}`;
    throw new FoveaError('ERR_OPTION', operator, `${name} must be a number ${range}, got ${show(value)}`);
  }
  return value;
}

/** True or false, nothing that merely looks like it. @throws FoveaError ERR_OPTION */
export function flag(operator: string, name: string, value: unknown): boolean {
  if (typeof value !== 'boolean')
    throw new FoveaError('ERR_OPTION', operator, `${name} must be true or false, got ${show(value)}`);
  return value;
}

/** One of a closed set of words. @throws FoveaError ERR_OPTION */
export function choice<T extends string>(operator: string, name: string, value: unknown, words: readonly T[]): T {
  const found = words.find((word) => word === value);
  if (found === undefined) {
    throw new FoveaError(
      'ERR_OPTION',
      operator,
      `${name} must be one of ${words.map(show).join(', ')}, got ${show(value)}`,
    );
  }
  return found;
}

/** A number for all axes, or one per axis, as one per axis. @throws FoveaError ERR_OPTION */
export function perAxis(operator: string, name: string, value: unknown, axes: number, least: number): number[] {
  if (!Array.isArray(value)) return Array<number>(axes).fill(whole(operator, name, value, least));
  if (value.length !== axes) {
    throw new FoveaError(
      'ERR_OPTION',
      operator,
      `${name} must be a number or ${axes} of them, one per axis, got ${show(value)}`,
    );
  }
  return value.map((n) => whole(operator, name, n, least));
}

/** The shape of a batch. @throws FoveaError ERR_SHAPE */
export function checkBatchShape(operator: string, shape: unknown): void {
  if (Array.isArray(shape) && shape.length > 0 && shape.every((n) => Number.isSafeInteger(n) && n > 0)) return;
  const detail = `inputShape must be [N, ...], whole numbers >= 1, got ${show(shape)}`;
  throw new FoveaError('ERR_SHAPE', operator, detail);
}
