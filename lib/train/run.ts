import { FoveaError } from '../errors.js';

/**
 * A job that is under way: a promise of its result and a stream of its events. Either may be ignored: awaiting without
 * iterating works, and so does iterating only. When both are and the job fails, the process emits a warning: one who
 * awaits later still gets the error, so it is no unhandled rejection.
 */
export class Run<E, R> implements PromiseLike<R>, AsyncIterable<E> {
  private readonly result: Promise<R>;
  private readonly listeners = new Set<Queue<E>>();
  private awaited = false;

  /** @param job  starts in the next microtask, so that an iterator made right away sees every event */
  constructor(job: (emit: (event: E) => Promise<void>) => Promise<R>) {
    this.result = Promise.resolve().then(() => job((event) => this.emit(event)));
    this.result.catch((error: unknown) => {
      if (!this.awaited && this.listeners.size === 0) warn(error);
    });
  }

  // biome-ignore lint/suspicious/noThenProperty: a run can be awaited
  then<A = R, B = never>(
    done?: ((value: R) => A | PromiseLike<A>) | null,
    failed?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.awaited = true;
    return this.result.then(done, failed);
  }

  /** Leaving the loop early only stops the events; the job goes on. Stop it with its AbortSignal. */
  [Symbol.asyncIterator](): AsyncIterator<E, undefined> {
    const queue = new Queue<E>();
    this.listeners.add(queue);
    this.result.then(
      () => queue.end(),
      (error: unknown) => queue.end(error),
    );
    return {
      next: () => queue.next(),
      return: async () => {
        this.listeners.delete(queue);
        queue.end();
        return { done: true, value: undefined };
      },
    };
  }

  /** Waits while a listener is far behind, so that events do not pile up. */
  private async emit(event: E): Promise<void> {
    for (const queue of this.listeners) await queue.push(event);
  }
}

/** Of a job that failed unheard. Being stopped is no failure. */
function warn(error: unknown): void {
  if (error instanceof FoveaError && error.code === 'ERR_ABORTED') return;
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  process.emitWarning(`nobody awaits this run, and it failed: ${message}`, {
    type: 'FoveaWarning',
    detail: stack ?? '',
  });
}

/** Events that wait for their reader. */
class Queue<E> {
  private static readonly most = 256;
  private readonly events: E[] = [];
  private readers: (() => void)[] = [];
  private writers: (() => void)[] = [];
  private ended = false;
  private error: unknown;

  async push(event: E): Promise<void> {
    if (this.ended) return;
    this.events.push(event);
    this.wake(this.readers);
    while (this.events.length >= Queue.most && !this.ended) await new Promise<void>((go) => this.writers.push(go));
  }

  end(error?: unknown): void {
    if (this.ended) return;
    this.ended = true;
    this.error = error;
    this.wake(this.readers);
    this.wake(this.writers);
  }

  async next(): Promise<IteratorResult<E, undefined>> {
    while (this.events.length === 0 && !this.ended) await new Promise<void>((go) => this.readers.push(go));
    const event = this.events.shift();
    this.wake(this.writers);
    if (event !== undefined) return { done: false, value: event };
    if (this.error !== undefined) {
      const error = this.error;
      this.error = undefined; // thrown once
      throw error;
    }
    return { done: true, value: undefined };
  }

  private wake(waiting: (() => void)[]): void {
    for (const go of waiting.splice(0)) go();
  }
}
