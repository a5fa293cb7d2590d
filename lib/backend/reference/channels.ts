import type { View } from './view.js';

/** Visits every element of channel c of x [N, C, …] by its offset. */
export function channel(x: View, c: number, visit: (i: number) => void): void {
  const [N, C] = x.shape as [number, number];
  const L = x.data.length / (N * C); // pixels of one image
  for (let n = 0; n < N; n++) for (let l = 0; l < L; l++) visit((n * C + c) * L + l);
}

/** Mean and Σ (x − mean)² of channel c over its M elements: two passes, exact to double precision. */
export function moments(x: View, c: number): { mean: number; squares: number; count: number } {
  const count = x.data.length / (x.shape[1] as number);
  let sum = 0;
  channel(x, c, (i) => {
    sum += x.data[i] as number;
  });
  const mean = sum / count;
  let squares = 0;
  channel(x, c, (i) => {
    squares += ((x.data[i] as number) - mean) ** 2;
  });
  return { mean, squares, count };
}
