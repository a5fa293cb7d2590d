import { FoveaError, show } from '../errors.js';

/** @throws FoveaError ERR_OPTION unless it is undefined or looks like an AbortSignal */
export function checkSignal(operator: string, signal: unknown): void {
  if (signal === undefined) return;
  const fits = typeof signal === 'object' && signal !== null && 'aborted' in signal && 'addEventListener' in signal;
  if (!fits) throw new FoveaError('ERR_OPTION', operator, `signal must be an AbortSignal, got ${show(signal)}`);
}

function abortion(signal: AbortSignal, operator: string): FoveaError {
  return new FoveaError('ERR_ABORTED', operator, 'stopped by its AbortSignal', { cause: signal.reason });
}

/** @throws FoveaError ERR_ABORTED */
export function checkAborted(signal: AbortSignal | undefined, operator: string): void {
  if (signal?.aborted) throw abortion(signal, operator);
}

/** What a job that failed throws: that it was aborted, whichever of its parts noticed first; else the error itself. */
export function reasonOf(error: unknown, signal: AbortSignal | undefined, operator: string): unknown {
  const stopped = signal?.aborted && error instanceof FoveaError && error.code === 'ERR_ABORTED';
  return stopped ? abortion(signal, operator) : error;
}

/**
 * Waits for `work`, but no longer than until the signal: for what cannot be cancelled itself, like a reader who does not
 * read or a stream that does not come.
 * @throws FoveaError ERR_ABORTED
 */
export async function untilAborted<T>(work: Promise<T>, signal: AbortSignal | undefined, operator: string): Promise<T> {
  if (!signal) return work;
  let stop = () => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(abortion(signal, operator));
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop);
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/** The elements of `source` until the signal. Left early, it closes the source. @throws FoveaError ERR_ABORTED */
export async function* abortable<T>(
  source: AsyncIterable<T>,
  signal: AbortSignal | undefined,
  operator: string,
): AsyncGenerator<T, void> {
  const iterator = source[Symbol.asyncIterator]();
  let finished = false;
  try {
    for (;;) {
      checkAborted(signal, operator);
      const { done, value } = await untilAborted(iterator.next(), signal, operator);
      finished = done === true;
      if (finished) return;
      yield value;
    }
  } finally {
    // Not waited for: a source that is in the middle of something never answers. Nobody would hear its error either.
    if (!finished) Promise.resolve(iterator.return?.()).catch(() => {});
  }
}
