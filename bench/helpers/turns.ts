import { median } from './timing.js';

/** Something that is timed in turn with others. */
export interface Contender {
  readonly name: string;
  /** Runs for about so many seconds. @returns milliseconds of a run, the median */
  time(seconds: number): Promise<number>;
}

/** Milliseconds in each round, by contender. */
export type Rounds = ReadonlyMap<string, readonly number[]>;

/** All contenders once in every round, so that a machine that changes speed changes it for all of them. */
export async function takeTurns(contenders: readonly Contender[], rounds: number, seconds: number): Promise<Rounds> {
  const times = new Map<string, number[]>(contenders.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const { name, time } of contenders) times.get(name)?.push(await time(seconds));
  }
  return times;
}

/** How many times as long `a` takes as `b`: the median of the rounds' ratios, each taken within its round. */
export interface Ratio {
  readonly ratio: number;
  readonly worst: number;
  readonly best: number;
}

export function ratioOf(a: readonly number[], b: readonly number[]): Ratio {
  const ratios = a.map((milliseconds, round) => milliseconds / (b[round] ?? Number.NaN));
  return { ratio: median(ratios), worst: Math.min(...ratios), best: Math.max(...ratios) };
}

/** A contender of this process. @param once  milliseconds of one run */
export function own(name: string, once: () => Promise<number>): Contender {
  const time = async (seconds: number) => {
    await once(); // wakes threads and caches
    const times: number[] = [];
    const end = performance.now() + seconds * 1000;
    while (times.length < 3 || performance.now() < end) times.push(await once());
    return median(times);
  };
  return { name, time };
}
