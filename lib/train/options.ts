import { FoveaError } from '../errors.js';

/**
 * How exact float32 products are: `'highest'` float32 or better, `'high'` two bfloat16 each, `'medium'` one bfloat16.
 * A CPU without bfloat16 arithmetic computes all three in float32.
 */
export type Precision = 'highest' | 'high' | 'medium';

/** What every compiled job takes. */
export interface JobOptions {
  /** Default 'highest'. */
  readonly precision?: Precision;
  /** Default: FOVEA_THREADS, or as many as the process may use. Results do not depend on it. */
  readonly threads?: number;
}

const precisions: readonly string[] = ['highest', 'high', 'medium'];

/** @throws FoveaError ERR_OPTION */
export function checkJob(operator: string, { precision = 'highest', threads }: JobOptions): void {
  if (!precisions.includes(precision)) {
    throw new FoveaError(
      'ERR_OPTION',
      operator,
      `precision must be one of ${precisions.join(', ')}, got ${String(precision)}`,
    );
  }
  if (threads !== undefined) checkWhole(operator, 'threads', threads, 1, 1024);
}

/** @throws FoveaError ERR_OPTION unless `value` is a whole number in [least, most] */
export function checkWhole(
  operator: string,
  name: string,
  value: number,
  least: number,
  most = Number.MAX_SAFE_INTEGER,
): void {
  if (Number.isSafeInteger(value) && value >= least && value <= most) return;
  const range = most === Number.MAX_SAFE_INTEGER ? `>= ${least}` : `in ${least}..${most}`;
  throw new FoveaError('ERR_OPTION', operator, `${name} must be a whole number ${range}, got ${String(value)}`);
}

/** @throws FoveaError ERR_OPTION for a name that is not in the list: a misspelt option must not be passed over */
export function checkNames(operator: string, options: object, known: readonly string[]): void {
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new FoveaError('ERR_OPTION', operator, `unknown option "${unknown}"; there are ${known.join(', ')}`);
  }
}
