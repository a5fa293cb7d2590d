import type { Precision } from '../backend/backend.js';
import { FoveaError, show } from '../errors.js';
import type { CompileOptions } from '../graph/executable.js';
import { Optimizer } from '../optim/optimizer.js';

/** What every compiled job takes. */
export interface JobOptions {
  /** Default 'highest'. */
  readonly precision?: Precision;
  /** Default: FOVEA_THREADS, or as many as the process may use. Results do not depend on it. */
  readonly threads?: number;
}

const precisions: readonly string[] = ['highest', 'high', 'medium'];

/** What `compileGraph` takes of a job's options. */
export function compileOptions({ precision, threads }: JobOptions): CompileOptions {
  return { ...(precision === undefined ? {} : { precision }), ...(threads === undefined ? {} : { threads }) };
}

/** @throws FoveaError ERR_OPTION */
export function checkJob(operator: string, { precision = 'highest', threads }: JobOptions): void {
  if (!precisions.includes(precision)) {
    throw new FoveaError(
      'ERR_OPTION',
      operator,
      `precision must be one of ${precisions.join(', ')}, got ${show(precision)}`,
    );
  }
  if (threads !== undefined) checkWhole(operator, 'threads', threads, 1, 256);
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
  throw new FoveaError('ERR_OPTION', operator, `${name} must be a whole number ${range}, got ${show(value)}`);
}

/** @throws FoveaError ERR_OPTION unless it is a function */
export function checkLoss(operator: string, loss: unknown): void {
  if (typeof loss === 'function') return;
  throw new FoveaError('ERR_OPTION', operator, `loss must be a function such as ops.crossEntropy, got ${show(loss)}`);
}

/** @throws FoveaError ERR_OPTION unless it is one of `optim.*` */
export function checkOptimizer(operator: string, optimizer: unknown): void {
  if (optimizer instanceof Optimizer) return;
  const detail = `optimizer must be one of optim.*, such as new optim.SGD({ lr: 0.05 }), got ${show(optimizer)}`;
  throw new FoveaError('ERR_OPTION', operator, detail);
}

/** @throws FoveaError ERR_OPTION for the name of a metric that there is none of */
export function checkMetrics(operator: string, metrics: unknown): void {
  if (metrics === undefined || (Array.isArray(metrics) && metrics.every((metric) => metric === 'accuracy'))) return;
  throw new FoveaError('ERR_OPTION', operator, `metrics must be a list; there is 'accuracy', got ${show(metrics)}`);
}
