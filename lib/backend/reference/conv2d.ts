import type { Attributes } from '../backend.js';
import { channel, moments } from './channels.js';
import { passes, writeMask } from './mask.js';
import { convTaps, readBy } from './taps.js';
import { activate, flag, grid, need, number, type Operation, result, store, text, type View } from './view.js';

// All three operators walk over the same products x·w of the convolution, each with another of x, w and y as the sum.

/**
 * Calls `visit` for each kernel element (k, c, r, s), with the channel of x that it multiplies (c counts within the group)
 * and the row and column of the kernel that it stands at: rotated by 180° when `flipKernel`.
 */
function kernelElements(
  [K, Cg, R, S]: readonly [number, number, number, number],
  attributes: Attributes,
  visit: (k: number, c: number, r: number, s: number, channel: number, row: number, column: number) => void,
): void {
  const Kg = K / number(attributes, 'groups');
  const flip = flag(attributes, 'flipKernel');
  for (let k = 0; k < K; k++) {
    for (let c = 0; c < Cg; c++) {
      for (let r = 0; r < R; r++) {
        for (let s = 0; s < S; s++) {
          visit(k, c, r, s, Math.floor(k / Kg) * Cg + c, flip ? R - 1 - r : r, flip ? S - 1 - s : s);
        }
      }
    }
  }
}

/**
 * y[n,k,p,q] = act(b[k] + Σ_{c in group of k} Σ_r Σ_s x[n,c, p·sh + r·dh − top, q·sw + s·dw − left] · w[k,c,r,s])
 * Source: torch.nn.Conv2d (cross-correlation); with `flipKernel` w[k,c,R−1−r,S−1−s], the convolution of mathematics.
 * A residual, where there is one, is added before the activation. Also, where asked for, mean and biased variance of y for
 * each channel, and the bits of y > 0.
 */
export const conv2d: Operation = (inputs, outputs, attributes) => {
  const x = grid(need(inputs, 0));
  const weight = grid(need(inputs, 1));
  const [, , bias, add] = inputs;
  const output = need(outputs, 0);
  const y = result(output);
  const activation = text(attributes, 'activation');
  const [N, , H, W] = x.shape;
  const [, K, P, Q] = y.shape;
  const [rows, columns] = convTaps(attributes, H, W);
  const { data: from } = x;
  const { data: to } = y;
  kernelElements(weight.shape, attributes, (k, c, r, s, channel, row, column) => {
    const factor = weight.get(k, c, row, column);
    const read = readBy(columns, s, Q);
    for (let n = 0; n < N; n++) {
      for (let p = 0; p < P; p++) {
        const h = rows.at(p, r);
        if (h < 0) continue;
        const xRow = x.row(n, channel, h);
        const yRow = y.row(n, k, p);
        for (let q = 0; q < Q; q++) {
          const w = read[q] as number;
          if (w >= 0) to[yRow + q] = (to[yRow + q] as number) + (from[xRow + w] as number) * factor;
        }
      }
    }
  });
  const after = (i: number): number =>
    (bias ? (bias.data[Math.floor(i / (P * Q)) % K] as number) : 0) + (add ? (add.data[i] as number) : 0);
  store(
    output,
    y.data.map((sum, i) => activate(sum + after(i), activation)),
  );
  const [, mean, variance, mask] = outputs;
  for (let k = 0; mean && variance && k < K; k++) {
    const { mean: found, squares, count } = moments(output, k);
    mean.data[k] = found;
    variance.data[k] = squares / count;
  }
  if (mask) writeMask(mask, output);
};

/**
 * Each product x·w of y[n,k,p,q] gives dy[n,k,p,q]·w to the x that it read:
 * dx[n,c,h,w] = Σ over all (k,p,q,r,s) that read (h,w) of dy[n,k,p,q] · w[k,c,r,s], plus what is to be added, where the mask
 * lets it pass; sums: Σ dx and Σ dx·(x − mean) for each channel.
 */
export const conv2dGradInput: Operation = (inputs, outputs, attributes) => {
  const dy = grid(need(inputs, 0));
  const weight = grid(need(inputs, 1));
  const output = need(outputs, 0);
  const dx = result(output);
  const [N, , H, W] = dx.shape;
  const [, , P, Q] = dy.shape;
  const [rows, columns] = convTaps(attributes, H, W);
  const { data: from } = dy;
  const { data: to } = dx;
  kernelElements(weight.shape, attributes, (k, c, r, s, channel, row, column) => {
    const factor = weight.get(k, c, row, column);
    const read = readBy(columns, s, Q);
    for (let n = 0; n < N; n++) {
      for (let p = 0; p < P; p++) {
        const h = rows.at(p, r);
        if (h < 0) continue;
        const xRow = dx.row(n, channel, h);
        const yRow = dy.row(n, k, p);
        for (let q = 0; q < Q; q++) {
          const w = read[q] as number;
          if (w >= 0) to[xRow + w] = (to[xRow + w] as number) + (from[yRow + q] as number) * factor;
        }
      }
    }
  });
  const [, , add, mask] = inputs;
  store(
    output,
    dx.data.map((sum, i) => (mask && !passes(mask, i, output.shape) ? 0 : sum + (add ? (add.data[i] as number) : 0))),
  );
  if (outputs[1]) sumsWith(output, need(inputs, 4), need(inputs, 5), outputs[1]);
};

function sumsWith(g: View, x: View, mean: View, sums: View): void {
  const C = g.shape[1] as number;
  for (let c = 0; c < C; c++) {
    let sum = 0;
    let product = 0;
    channel(g, c, (i) => {
      sum += g.data[i] as number;
      product += (g.data[i] as number) * ((x.data[i] as number) - (mean.data[c] as number));
    });
    sums.data[c] = sum;
    sums.data[C + c] = product;
  }
}

/**
 * dw[k,c,r,s] = Σ_n Σ_p Σ_q dy[n,k,p,q] · x[n,c, p·sh + r·dh − top, q·sw + s·dw − left],  db[k] = Σ_n Σ_p Σ_q dy[n,k,p,q]
 */
export const conv2dGradWeight: Operation = (inputs, outputs, attributes) => {
  const x = grid(need(inputs, 0));
  const dy = grid(need(inputs, 1));
  const output = need(outputs, 0);
  const dw = result(output);
  const [N, , H, W] = x.shape;
  const [, K, P, Q] = dy.shape;
  const [rows, columns] = convTaps(attributes, H, W);
  kernelElements(dw.shape, attributes, (k, c, r, s, channel, row, column) => {
    const read = readBy(columns, s, Q);
    let sum = 0;
    for (let n = 0; n < N; n++) {
      for (let p = 0; p < P; p++) {
        const h = rows.at(p, r);
        if (h < 0) continue;
        const xRow = x.row(n, channel, h);
        const yRow = dy.row(n, k, p);
        for (let q = 0; q < Q; q++) {
          const w = read[q] as number;
          if (w >= 0) sum += (dy.data[yRow + q] as number) * (x.data[xRow + w] as number);
        }
      }
    }
    dw.set(k, c, row, column, sum);
  });
  store(output, dw.data);
  const db = outputs[1];
  if (!db) return;
  for (let k = 0; k < K; k++) {
    let sum = 0;
    for (let n = 0; n < N; n++) for (let p = 0; p < P; p++) for (let q = 0; q < Q; q++) sum += dy.get(n, k, p, q);
    db.data[k] = sum;
  }
};
