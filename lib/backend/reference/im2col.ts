import type { Attributes } from '../backend.js';
import { windowTaps } from './taps.js';
import { accumulator, Grid, grid, need, type Operation, pair, result, sides, store } from './view.js';

/** P = ⌊(H + top + bottom − (dh·(R − 1) + 1)) / sh⌋ + 1, and Q likewise. */
function outputExtent(attributes: Attributes, H: number, W: number): [P: number, Q: number] {
  const [R, S] = pair(attributes, 'kernelSize');
  const [sh, sw] = pair(attributes, 'stride');
  const [dh, dw] = pair(attributes, 'dilation');
  const [top, bottom, left, right] = sides(attributes, 'padding');
  return [
    Math.floor((H + top + bottom - (dh * (R - 1) + 1)) / sh) + 1,
    Math.floor((W + left + right - (dw * (S - 1) + 1)) / sw) + 1,
  ];
}

/**
 * columns[n, (c·R + r)·S + s, p·Q + q] = x[n, c, p·sh + r·dh − top, q·sw + s·dw − left], 0 in the padding.
 * Source: torch.nn.Unfold.
 */
export const im2col: Operation = (inputs, outputs, attributes) => {
  const x = grid(need(inputs, 0));
  const [N, C, H, W] = x.shape;
  const [R, S] = pair(attributes, 'kernelSize');
  const [P, Q] = outputExtent(attributes, H, W);
  const output = need(outputs, 0);
  const columns = new Grid([N, C, R * S, P * Q], accumulator(output));
  const [rowTaps, columnTaps] = windowTaps(attributes, H, W);
  for (let n = 0; n < N; n++) {
    for (let c = 0; c < C; c++) {
      for (let r = 0; r < R; r++) {
        for (let s = 0; s < S; s++) {
          for (let p = 0; p < P; p++) {
            for (let q = 0; q < Q; q++) {
              const h = rowTaps.at(p, r);
              const w = columnTaps.at(q, s);
              columns.set(n, c, r * S + s, p * Q + q, h < 0 || w < 0 ? 0 : x.get(n, c, h, w));
            }
          }
        }
      }
    }
  }
  store(output, columns.data);
};

/**
 * The adjoint of `im2col`: x[n, c, h, w] = sum of all columns that `im2col` fills from (h, w).
 * Source: torch.nn.Fold.
 */
export const col2im: Operation = (inputs, outputs, attributes) => {
  const output = need(outputs, 0);
  const x = result(output);
  const [N, C, H, W] = x.shape;
  const [R, S] = pair(attributes, 'kernelSize');
  const [P, Q] = outputExtent(attributes, H, W);
  const columns = new Grid([N, C, R * S, P * Q], new Float64Array(need(inputs, 0).data));
  const [rowTaps, columnTaps] = windowTaps(attributes, H, W);
  for (let n = 0; n < N; n++) {
    for (let c = 0; c < C; c++) {
      for (let r = 0; r < R; r++) {
        for (let s = 0; s < S; s++) {
          for (let p = 0; p < P; p++) {
            for (let q = 0; q < Q; q++) {
              const h = rowTaps.at(p, r);
              const w = columnTaps.at(q, s);
              if (h >= 0 && w >= 0) x.add(n, c, h, w, columns.get(n, c, r * S + s, p * Q + q));
            }
          }
        }
      }
    }
  }
  store(output, x.data);
};
