/** Times of one thing, in milliseconds. */
export interface Timing {
  readonly median: number;
  readonly minimum: number;
  readonly runs: number;
}

export function summarize(milliseconds: readonly number[]): Timing {
  const sorted = [...milliseconds].sort((a, b) => a - b);
  return { median: middle(sorted), minimum: sorted[0] ?? Number.NaN, runs: sorted.length };
}

export function median(values: readonly number[]): number {
  return middle([...values].sort((a, b) => a - b));
}

function middle(sorted: readonly number[]): number {
  const half = Math.floor(sorted.length / 2);
  const upper = sorted[half] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[half - 1] ?? Number.NaN)) / 2;
}

/** Calls `once` for at least `milliseconds` and three times, after two calls that are not counted. */
export async function measure(once: () => Promise<number>, milliseconds = 400): Promise<Timing> {
  await once();
  await once();
  const times: number[] = [];
  const end = performance.now() + milliseconds;
  while (times.length < 3 || performance.now() < end) times.push(await once());
  return summarize(times);
}

/** Geometric mean. */
export function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}
