import type { Attributes } from '../backend.js';
import { convTaps } from './taps.js';
import { accumulator, activate, flag, Grid, grid, need, number, type Operation, pair, store, text } from './view.js';

/** The kernel row and column that are multiplied at (r, s): rotated by 180° when `flipKernel`. */
function kernelAt(
  attributes: Attributes,
  R: number,
  S: number,
): [row: (r: number) => number, column: (s: number) => number] {
  const flip = flag(attributes, 'flipKernel');
  return [(r) => (flip ? R - 1 - r : r), (s) => (flip ? S - 1 - s : s)];
}

/**
 * y[n,k,p,q] = act(b[k] + Σ_{c in group of k} Σ_r Σ_s x[n,c, p·sh + r·dh − top, q·sw + s·dw − left] · w[k, c, r, s])
 * Source: torch.nn.Conv2d (cross-correlation); with `flipKernel` the convolution of mathematics.
 */
export const conv2d: Operation = (inputs, outputs, attributes) => {
  const x = grid(need(inputs, 0));
  const weight = grid(need(inputs, 1));
  const bias = inputs[2];
  const y = grid(need(outputs, 0));
  const activation = text(attributes, 'activation');
  const [N, , H, W] = x.shape;
  const [K, Cg, R, S] = weight.shape;
  const [, , P, Q] = y.shape;
  const Kg = K / number(attributes, 'groups');
  const [rows, columns] = convTaps(attributes, H, W);
  const [kr, ks] = kernelAt(attributes, R, S);
  for (let n = 0; n < N; n++) {
    for (let k = 0; k < K; k++) {
      const c0 = Math.floor(k / Kg) * Cg;
      for (let p = 0; p < P; p++) {
        for (let q = 0; q < Q; q++) {
          let sum = bias ? (bias.data[k] as number) : 0;
          for (let r = 0; r < R; r++) {
            const h = rows.at(p, r);
            if (h < 0) continue;
            for (let s = 0; s < S; s++) {
              const w = columns.at(q, s);
              if (w < 0) continue;
              for (let c = 0; c < Cg; c++) sum += x.get(n, c0 + c, h, w) * weight.get(k, c, kr(r), ks(s));
            }
          }
          y.set(n, k, p, q, activate(sum, activation));
        }
      }
    }
  }
};

/**
 * Every product x·w of the forward sum gives dy[n,k,p,q] · w[k,c,r,s] to the dx that it read:
 * dx[n,c,h,w] = Σ over all (k,p,q,r,s) that read (h,w) of dy[n,k,p,q] · w[k,c,r,s].
 */
export const conv2dGradInput: Operation = (inputs, outputs, attributes) => {
  const dy = grid(need(inputs, 0));
  const weight = grid(need(inputs, 1));
  const output = need(outputs, 0);
  const sums = accumulator(output);
  const dx = new Grid(output.shape, sums);
  const [N, , H, W] = dx.shape;
  const [K, Cg, R, S] = weight.shape;
  const [, , P, Q] = dy.shape;
  const Kg = K / number(attributes, 'groups');
  const [rows, columns] = convTaps(attributes, H, W);
  const [kr, ks] = kernelAt(attributes, R, S);
  for (let n = 0; n < N; n++) {
    for (let k = 0; k < K; k++) {
      const c0 = Math.floor(k / Kg) * Cg;
      for (let p = 0; p < P; p++) {
        for (let q = 0; q < Q; q++) {
          for (let r = 0; r < R; r++) {
            const h = rows.at(p, r);
            if (h < 0) continue;
            for (let s = 0; s < S; s++) {
              const w = columns.at(q, s);
              if (w < 0) continue;
              for (let c = 0; c < Cg; c++) dx.add(n, c0 + c, h, w, dy.get(n, k, p, q) * weight.get(k, c, kr(r), ks(s)));
            }
          }
        }
      }
    }
  }
  store(output, sums);
};

/**
 * dw[k,c,r,s] = Σ_n Σ_p Σ_q dy[n,k,p,q] · x[n,c, p·sh + r·dh − top, q·sw + s·dw − left],  db[k] = Σ_n Σ_p Σ_q dy[n,k,p,q]
 */
export const conv2dGradWeight: Operation = (inputs, outputs, attributes) => {
  const x = grid(need(inputs, 0));
  const dy = grid(need(inputs, 1));
  const dw = grid(need(outputs, 0));
  const db = outputs[1];
  const [N, , H, W] = x.shape;
  const [, K, P, Q] = dy.shape;
  const [R, S] = pair(attributes, 'kernelSize');
  const groups = number(attributes, 'groups');
  const Cg = x.shape[1] / groups;
  const Kg = K / groups;
  const [rows, columns] = convTaps(attributes, H, W);
  const [kr, ks] = kernelAt(attributes, R, S);
  for (let k = 0; k < K; k++) {
    const c0 = Math.floor(k / Kg) * Cg;
    for (let c = 0; c < Cg; c++) {
      for (let r = 0; r < R; r++) {
        for (let s = 0; s < S; s++) {
          let sum = 0;
          for (let n = 0; n < N; n++) {
            for (let p = 0; p < P; p++) {
              const h = rows.at(p, r);
              if (h < 0) continue;
              for (let q = 0; q < Q; q++) {
                const w = columns.at(q, s);
                if (w >= 0) sum += dy.get(n, k, p, q) * x.get(n, c0 + c, h, w);
              }
            }
          }
          dw.set(k, c, kr(r), ks(s), sum);
        }
      }
    }
    if (!db) continue;
    let sum = 0;
    for (let n = 0; n < N; n++) for (let p = 0; p < P; p++) for (let q = 0; q < Q; q++) sum += dy.get(n, k, p, q);
    db.data[k] = sum;
  }
};
