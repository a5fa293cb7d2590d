/** What went wrong, for programs. The message is for people. */
export type ErrorCode =
  | 'ERR_SHAPE' // shapes that do not fit together
  | 'ERR_OPTION' // a hyperparameter outside its range
  | 'ERR_DTYPE' // an element type the operator does not take
  | 'ERR_DATA' // values that cannot be: labels out of range, detached buffers
  | 'ERR_FORMAT' // a file that is not what it says
  | 'ERR_IO' // the operating system refused: no such file, disk full
  | 'ERR_ABORTED' // stopped by the caller's AbortSignal
  | 'ERR_MEMORY' // more memory than there is
  | 'ERR_BUSY' // a model or program that is running already
  | 'ERR_DISPOSED' // a program used after dispose()
  | 'ERR_BACKEND' // the backend that was asked for cannot be had
  | 'ERR_GRAPH'; // a function that cannot be traced or differentiated

/**
 * Every error that Fovea throws on purpose.
 * The message begins with the operator's name and shows both sides of the disagreement.
 */
export class FoveaError extends Error {
  override readonly name = 'FoveaError';
  constructor(
    readonly code: ErrorCode,
    readonly operator: string,
    detail: string,
    options?: ErrorOptions,
  ) {
    super(`${operator}: ${detail}`, options);
  }
}

/** A value as messages show it: short, and whatever it is. */
export function show(value: unknown): string {
  return shown(value, 0);
}

function shown(value: unknown, depth: number): string {
  if (typeof value === 'string') return `'${value.length > 80 ? `${value.slice(0, 80)}…` : value}'`;
  if (typeof value === 'function') return 'a function';
  if (Array.isArray(value)) {
    if (depth > 2) return '[…]'; // it may hold itself
    const first = value.slice(0, 8).map((element) => shown(element, depth + 1));
    return `[${[...first, ...(value.length > 8 ? ['…'] : [])].join(', ')}]`;
  }
  if (value === null || typeof value !== 'object') return String(value); // JSON would print NaN as null
  return value.constructor?.name ?? 'object';
}
