import type { Attributes } from '../backend.js';
import { windowTaps } from './taps.js';
import { flag, grid, need, type Operation, pair, result, sides, store } from './view.js';

/**
 * y[n,c,p,q] = max over the window of x[n,c, p·sh + r·dh − top, q·sw + s·dw − left], padding is −∞;
 * indices holds r·S + s of the first maximum, or of the first NaN. Source: torch.nn.MaxPool2d (which numbers the input instead).
 */
export const maxPool2d: Operation = (inputs, outputs, attributes) => {
  const x = grid(need(inputs, 0));
  const y = result(need(outputs, 0));
  const indices = outputs[1] ? result(outputs[1]) : undefined;
  const [N, C, H, W] = x.shape;
  const [, , P, Q] = y.shape;
  const [R, S] = pair(attributes, 'kernelSize');
  const [rows, columns] = windowTaps(attributes, H, W);
  for (let n = 0; n < N; n++) {
    for (let c = 0; c < C; c++) {
      for (let p = 0; p < P; p++) {
        for (let q = 0; q < Q; q++) {
          let best = Number.NEGATIVE_INFINITY;
          let index = -1;
          for (let r = 0; r < R; r++) {
            for (let s = 0; s < S; s++) {
              const h = rows.at(p, r);
              const w = columns.at(q, s);
              if (h < 0 || w < 0) continue;
              const value = x.get(n, c, h, w);
              const better = index < 0 || value > best || (Number.isNaN(value) && !Number.isNaN(best));
              if (!better) continue;
              best = value;
              index = r * S + s;
            }
          }
          y.set(n, c, p, q, best);
          indices?.set(n, c, p, q, Math.max(index, 0));
        }
      }
    }
  }
  store(need(outputs, 0), y.data);
  if (indices) store(need(outputs, 1), indices.data);
};

/** dx[n,c,h,w] = Σ of dy[n,c,p,q] over the windows whose maximum stood at (h,w) */
export const maxPool2dBackward: Operation = (inputs, outputs, attributes) => {
  const dy = grid(need(inputs, 0));
  const indices = grid(need(inputs, 1));
  const output = need(outputs, 0);
  const dx = result(output);
  const [N, C, H, W] = dx.shape;
  const [, , P, Q] = dy.shape;
  const [, S] = pair(attributes, 'kernelSize');
  const [rows, columns] = windowTaps(attributes, H, W);
  for (let n = 0; n < N; n++) {
    for (let c = 0; c < C; c++) {
      for (let p = 0; p < P; p++) {
        for (let q = 0; q < Q; q++) {
          const index = indices.get(n, c, p, q);
          const h = rows.at(p, Math.floor(index / S));
          const w = columns.at(q, index % S);
          if (h >= 0 && w >= 0) dx.add(n, c, h, w, dy.get(n, c, p, q));
        }
      }
    }
  }
  store(output, dx.data);
};

/** One axis of one averaging window: the pixels start … end − 1 and how many the divisor counts. */
interface Span {
  readonly start: number;
  readonly end: number;
  readonly count: number;
}

/** Window o of `kernel` pixels, cut at the padded input; the divisor counts padding only when `countPad`. */
function span(
  o: number,
  kernel: number,
  stride: number,
  before: number,
  after: number,
  size: number,
  countPad: boolean,
): Span {
  const first = o * stride - before;
  const last = Math.min(first + kernel, size + after);
  const start = Math.max(first, 0);
  const end = Math.min(last, size);
  return { start, end, count: countPad ? last - first : end - start };
}

/** The windows of avgPool2d along both axes. */
function averagingSpans(
  attributes: Attributes,
  H: number,
  W: number,
): [row: (p: number) => Span, column: (q: number) => Span] {
  const [R, S] = pair(attributes, 'kernelSize');
  const [sh, sw] = pair(attributes, 'stride');
  const [top, bottom, left, right] = sides(attributes, 'padding');
  const countPad = flag(attributes, 'countIncludePad');
  return [(p) => span(p, R, sh, top, bottom, H, countPad), (q) => span(q, S, sw, left, right, W, countPad)];
}

/** The windows of adaptive pooling: output o of O averages the pixels ⌊o·I/O⌋ … ⌈(o + 1)·I/O⌉ − 1 of I. */
function adaptiveSpan(o: number, size: number, outputs: number): Span {
  const start = Math.floor((o * size) / outputs);
  const end = Math.ceil(((o + 1) * size) / outputs);
  return { start, end, count: end - start };
}

type Spans = (
  attributes: Attributes,
  H: number,
  W: number,
  P: number,
  Q: number,
) => [(p: number) => Span, (q: number) => Span];

const adaptiveSpans: Spans = (_attributes, H, W, P, Q) => [(p) => adaptiveSpan(p, H, P), (q) => adaptiveSpan(q, W, Q)];

/** y[n,c,p,q] = (Σ of x[n,c,h,w] over window (p,q)) / (rows counted · columns counted) */
function average(spans: Spans): Operation {
  return (inputs, outputs, attributes) => {
    const x = grid(need(inputs, 0));
    const output = need(outputs, 0);
    const y = result(output);
    const [N, C, H, W] = x.shape;
    const [, , P, Q] = y.shape;
    const [row, column] = spans(attributes, H, W, P, Q);
    for (let n = 0; n < N; n++) {
      for (let c = 0; c < C; c++) {
        for (let p = 0; p < P; p++) {
          for (let q = 0; q < Q; q++) {
            const i = row(p);
            const j = column(q);
            let sum = 0;
            for (let h = i.start; h < i.end; h++) for (let w = j.start; w < j.end; w++) sum += x.get(n, c, h, w);
            y.set(n, c, p, q, sum / (i.count * j.count));
          }
        }
      }
    }
    store(output, y.data);
  };
}

/** dx[n,c,h,w] = Σ over the windows (p,q) that hold (h,w) of dy[n,c,p,q] / (rows counted · columns counted) */
function averageBackward(spans: Spans): Operation {
  return (inputs, outputs, attributes) => {
    const dy = grid(need(inputs, 0));
    const output = need(outputs, 0);
    const dx = result(output);
    const [N, C, H, W] = dx.shape;
    const [, , P, Q] = dy.shape;
    const [row, column] = spans(attributes, H, W, P, Q);
    for (let n = 0; n < N; n++) {
      for (let c = 0; c < C; c++) {
        for (let p = 0; p < P; p++) {
          for (let q = 0; q < Q; q++) {
            const i = row(p);
            const j = column(q);
            const share = dy.get(n, c, p, q) / (i.count * j.count);
            for (let h = i.start; h < i.end; h++) for (let w = j.start; w < j.end; w++) dx.add(n, c, h, w, share);
          }
        }
      }
    }
    store(output, dx.data);
  };
}

/** Source: torch.nn.AvgPool2d. */
export const avgPool2d = average(averagingSpans);
export const avgPool2dBackward = averageBackward(averagingSpans);
/** Source: torch.nn.AdaptiveAvgPool2d. */
export const adaptiveAvgPool2d = average(adaptiveSpans);
export const adaptiveAvgPool2dBackward = averageBackward(adaptiveSpans);
