/**
 * A job that is under way: a promise of its result and a stream of its events. Either may be ignored: awaiting without
 * iterating works, and so does iterating only.
 */
export class Run<E, R> implements PromiseLike<R>, AsyncIterable<E> {
  private readonly result: Promise<R>;
  private readonly listeners = new Set<Queue<E>>();

  /** @param job  starts in the next microtask, so that an iterator made right away sees every event */
  constructor(job: (emit: (event: E) => Promise<void>) => Promise<R>) {
    this.result = Promise.resolve().then(() => job((event) => this.emit(event)));
    this.result.then(
      () => this.end(),
      (error: unknown) => this.end(error), // who only iterates gets the error from the iterator
    );
  }

  // biome-ignore lint/suspicious/noThenProperty: a run can be awaited
  then<A = R, B = never>(
    done?: ((value: R) => A | PromiseLike<A>) | null,
    failed?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
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

  private end(error?: unknown): void {
    for (const queue of this.listeners) queue.end(error);
  }
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
