// The one template behind pool.h.
#pragma once
#include <math.h>

#include "kernels/pool/pool.h"
#include "simd/block16.h"

namespace fovea {
namespace pool {

using simd::Block;

FOVEA_INLINE int64_t at(int row, int col, int width) { return (int64_t(row) * width + col) * 16; }

template <class V>
FOVEA_INLINE void store_index(Block<V> index, uint8_t* p) {
  index.store_u8(p);
}
template <class V>
FOVEA_INLINE void store_index(Block<V> index, int32_t* p) {
  index.store_i32(p);
}
template <class V>
FOVEA_INLINE Block<V> load_index(const uint8_t* p) {
  return Block<V>::load_u8(p);
}
template <class V>
FOVEA_INLINE Block<V> load_index(const int32_t* p) {
  return Block<V>::load_i32(p);
}

// The maximum of a window that lies inside the image, without its place. False where the sum of the taps is NaN, as it
// is if one of them is: then max_inside looks at them one by one.
template <class V, int R, int S, class X, class Y>
FOVEA_INLINE bool max_of_numbers(const X* x, int64_t row_step, int64_t col_step, Y* y) {
  Block<V> best = Block<V>::load(x), sum = best;
  UNROLL for (int r = 0; r < R; ++r) {
    UNROLL for (int s = 0; s < S; ++s) {
      if (r == 0 && s == 0) continue;
      const Block<V> v = Block<V>::load(x + r * row_step + s * col_step);
      best = max(v, best);  // the first of equal ones, as for +0 and -0
      sum = sum + v;
    }
  }
  if (bits(equal(sum, sum)) != 0xffff) return false;
  best.store(y);
  return true;
}

// A window of R x S taps that lies inside the image; x points at its first tap. Indices are kept as floats: below 2^24
// they are exact, and no kernel needs vectors of integers.
template <class V, int R, int S, class X, class Y, class Index>
FOVEA_INLINE void max_inside(const X* x, int64_t row_step, int64_t col_step, Y* y, Index* index) {
  if (!index && max_of_numbers<V, R, S>(x, row_step, col_step, y)) return;
  Block<V> best = Block<V>::load(x), where = Block<V>::zero();
  UNROLL for (int r = 0; r < R; ++r) {
    UNROLL for (int s = 0; s < S; ++s) {
      if (r == 0 && s == 0) continue;
      const Block<V> v = Block<V>::load(x + r * row_step + s * col_step);
      const auto wins = beats(v, best);
      best = select(wins, v, best);
      if (index) where = select(wins, Block<V>::splat(float(r * S + s)), where);
    }
  }
  best.store(y);
  if (index) store_index<V>(where, index);
}

// Any window: taps outside the image are skipped.
template <class V, class X, class Y, class Index>
void max_window(const MaxPoolGeometry& g, int p, int q, const X* x, Y* y, Index* index) {
  const int64_t h0 = int64_t(p) * g.sh - g.top, w0 = int64_t(q) * g.sw - g.left;
  Block<V> best = Block<V>::splat(-INFINITY), where = Block<V>::zero();
  bool first = true;
  for (int r = 0; r < g.R; ++r) {
    const int64_t h = h0 + int64_t(r) * g.dh;
    if (h < 0 || h >= g.H) continue;
    for (int s = 0; s < g.S; ++s) {
      const int64_t w = w0 + int64_t(s) * g.dw;
      if (w < 0 || w >= g.W) continue;
      const Block<V> v = Block<V>::load(x + at(int(h), int(w), g.W)), tap = Block<V>::splat(float(r * g.S + s));
      const auto wins = beats(v, best);
      best = first ? v : select(wins, v, best);
      where = first ? tap : select(wins, tap, where);
      first = false;
    }
  }
  best.store(y);
  if (index) store_index<V>(where, index);
}

// Outputs [first, last) of one axis whose windows need no padding.
struct Inside {
  int first, last;
};
template <class V>
FOVEA_INLINE Inside inside(int in, int out, int taps, int stride, int pad, int dilation) {
  const int64_t last_start = int64_t(in) - 1 - int64_t(taps - 1) * dilation + pad;  // p * stride <= last_start
  int64_t first = (int64_t(pad) + stride - 1) / stride, last = last_start < 0 ? 0 : last_start / stride + 1;
  if (last > out) last = out;
  if (first > last) first = last;
  return {int(first), int(last)};
}

// The pixels that a window leaves to its neighbours, of a window further down.
template <class X>
FOVEA_INLINE void ask_for_window(const MaxPoolGeometry& g, const X* x) {
  constexpr int kLine = 64 / (16 * sizeof(X));  // pixels
  for (int r = 0; r < g.sh; ++r) {
    for (int s = 0; s < g.sw; s += kLine) ask_to_read(x + at(r, s, g.W));
  }
}

template <class V, int R, int S, class X, class Y, class Index>
FOVEA_INLINE void max_plane_fixed(const MaxPoolGeometry& g, const X* x, Y* y, Index* index) {
  const Inside rows = inside<V>(g.H, g.P, g.R, g.sh, g.top, g.dh), cols = inside<V>(g.W, g.Q, g.S, g.sw, g.left, g.dw);
  const int64_t row_step = int64_t(g.W) * g.dh * 16, col_step = int64_t(g.dw) * 16;
  for (int p = 0; p < g.P; ++p) {
    const bool row_inside = p >= rows.first && p < rows.last;
    const X* const later = x + at(p * g.sh - g.top + (g.R - 1) * g.dh + 1 + g.sh, 0, g.W);
    for (int q = 0; q < g.Q; ++q) {
      if (R > 0 && g.asks) ask_for_window(g, later + at(0, q * g.sw, g.W));
      Y* const out = y + at(p, q, g.Q);
      Index* const place = index ? index + at(p, q, g.Q) : nullptr;
      if (R > 0 && row_inside && q >= cols.first && q < cols.last) {
        max_inside<V, R, S>(x + at(p * g.sh - g.top, q * g.sw - g.left, g.W), row_step, col_step, out, place);
      } else {
        max_window<V>(g, p, q, x, out, place);
      }
    }
  }
}

template <class V, class X, class Y, class Index>
void max_plane(const MaxPoolGeometry& g, const X* x, Y* y, Index* index) {
  if (g.R == 2 && g.S == 2) return max_plane_fixed<V, 2, 2>(g, x, y, index);
  if (g.R == 3 && g.S == 3) return max_plane_fixed<V, 3, 3>(g, x, y, index);
  max_plane_fixed<V, 0, 0>(g, x, y, index);
}

// 2 x 2 windows side by side: every input is in exactly one window, or in none on an odd edge.
template <class V, class X, class Y, class Index>
void max_backward_2x2(const MaxPoolGeometry& g, const Y* dy, const Index* index, X* dx) {
  const Block<V> zero = Block<V>::zero();
  for (int h = 0; h < g.H; ++h) {
    const int p = h / 2, r = h % 2;
    X* const row = dx + at(h, 0, g.W);
    int w = 0;
    if (p < g.P) {
      const Block<V> left = Block<V>::splat(float(2 * r)), right = Block<V>::splat(float(2 * r + 1));
      for (int q = 0; q < g.Q && 2 * q + 1 < g.W; ++q, w += 2) {
        const Block<V> place = load_index<V>(index + at(p, q, g.Q)), d = Block<V>::load(dy + at(p, q, g.Q));
        select(equal(place, left), d, zero).store(row + int64_t(w) * 16);
        select(equal(place, right), d, zero).store(row + int64_t(w + 1) * 16);
      }
    }
    for (; w < g.W; ++w) {
      Block<V> d = zero;
      if (p < g.P && w / 2 < g.Q) {
        const int64_t o = at(p, w / 2, g.Q);
        d = select(equal(load_index<V>(index + o), Block<V>::splat(float(2 * r + w % 2))), Block<V>::load(dy + o),
                   zero);
      }
      d.store(row + int64_t(w) * 16);
    }
  }
}

// One row of dx, from the rows of windows that cover it: entries [first, first + covering) of `rows`, kRows of them
// when that is known to the compiler.
template <class V, int kRows, class X, class Y, class Index>
FOVEA_INLINE void max_backward_row(const MaxPoolGeometry& g, const AxisTaps& rows, int first, int covering,
                                   const AxisTaps& cols, const Y* dy, const Index* index, X* dx) {
  const int count = kRows > 0 ? kRows : covering;
  int64_t row[kRows > 0 ? kRows : 1];
  int tap[kRows > 0 ? kRows : 1];
  for (int i = 0; i < kRows; ++i) row[i] = at(rows.other[first + i], 0, g.Q), tap[i] = rows.tap[first + i] * g.S;
  int j = cols.start[0];
  for (int w = 0; w < g.W; ++w, dx += 16) {
    Block<V> sum = Block<V>::zero();
    const int end = cols.start[w + 1];
    for (int i = 0; i < count; ++i) {
      const int64_t line = kRows > 0 ? row[i] : at(rows.other[first + i], 0, g.Q);
      const int row_tap = kRows > 0 ? tap[i] : rows.tap[first + i] * g.S;
      for (int k = j; k < end; ++k) {
        const int64_t o = line + int64_t(cols.other[k]) * 16;
        const Block<V> here = Block<V>::splat(float(row_tap + cols.tap[k]));
        sum = sum + select(equal(load_index<V>(index + o), here), Block<V>::load(dy + o), Block<V>::zero());
      }
    }
    j = end;
    sum.store(dx);
  }
}

template <class V, class X, class Y, class Index>
void max_backward_plane(const MaxPoolGeometry& g, const AxisTaps& rows, const AxisTaps& cols, const Y* dy,
                        const Index* index, X* dx) {
  const bool tiles = g.R == 2 && g.S == 2 && g.sh == 2 && g.sw == 2 && g.dh == 1 && g.dw == 1;
  if (tiles && g.top == 0 && g.left == 0) return max_backward_2x2<V>(g, dy, index, dx);
  for (int h = 0; h < g.H; ++h, dx += at(1, 0, g.W)) {
    const int first = rows.start[h], covering = rows.start[h + 1] - first;
    switch (covering) {
      case 1:
        max_backward_row<V, 1>(g, rows, first, 1, cols, dy, index, dx);
        break;
      case 2:
        max_backward_row<V, 2>(g, rows, first, 2, cols, dy, index, dx);
        break;
      default:
        max_backward_row<V, 0>(g, rows, first, covering, cols, dy, index, dx);
    }
  }
}

// Rows are summed first: the error grows with width plus height, not with their product.
template <class V, class X, class Y>
void average_plane(const AxisRanges& rows, const AxisRanges& cols, int W, int P, int Q, const X* x, Y* y) {
  for (int p = 0; p < P; ++p) {
    for (int q = 0; q < Q; ++q, y += 16) {
      Block<V> sum = Block<V>::zero();
      for (int h = rows.begin[p]; h < rows.end[p]; ++h) {
        const X* const row = x + at(h, 0, W);
        Block<V> even = Block<V>::zero(), odd = Block<V>::zero();
        int w = cols.begin[q];
        for (; w + 2 <= cols.end[q]; w += 2) {
          even = even + Block<V>::load(row + int64_t(w) * 16);
          odd = odd + Block<V>::load(row + int64_t(w + 1) * 16);
        }
        if (w < cols.end[q]) even = even + Block<V>::load(row + int64_t(w) * 16);
        sum = sum + (even + odd);
      }
      (sum / Block<V>::splat(rows.divisor[p] * cols.divisor[q])).store(y);
    }
  }
}

template <class V, class X, class Y>
void average_backward_plane(const AxisRanges& rows, const AxisRanges& cols, int H, int W, int Q, const Y* dy, X* dx) {
  for (int h = 0; h < H; ++h) {
    for (int w = 0; w < W; ++w, dx += 16) {
      // A division costs as much as a cache line from memory: windows with the same divisor are summed first, and
      // neighbours in one window share its quotient.
      const bool one = rows.end[h] - rows.begin[h] == 1 && cols.end[w] - cols.begin[w] == 1;
      if (one && w > 0 && cols.begin[w] == cols.begin[w - 1] && cols.end[w] == cols.end[w - 1]) {
        Block<V>::load(dx - 16).store(dx);
        continue;
      }
      Block<V> total = Block<V>::zero(), sum = Block<V>::zero();
      float divisor = 0;
      for (int p = rows.begin[h]; p < rows.end[h]; ++p) {
        for (int q = cols.begin[w]; q < cols.end[w]; ++q) {
          const float d = rows.divisor[p] * cols.divisor[q];
          if (d != divisor) {
            if (divisor != 0) total = total + sum / Block<V>::splat(divisor);
            divisor = d, sum = Block<V>::zero();
          }
          sum = sum + Block<V>::load(dy + at(p, q, Q));
        }
      }
      if (divisor != 0) total = total + sum / Block<V>::splat(divisor);
      total.store(dx);
    }
  }
}

template <class V, class X = float, class Y = float>
constexpr PoolKernelsOf<X, Y> instance(const char* isa) {
  return {isa,
          max_plane<V, X, Y, uint8_t>,
          max_plane<V, X, Y, int32_t>,
          max_backward_plane<V, X, Y, uint8_t>,
          max_backward_plane<V, X, Y, int32_t>,
          average_plane<V, X, Y>,
          average_backward_plane<V, X, Y>};
}

template <class V>
constexpr PoolBf16Kernels bf16_instance(const char* isa) {
  return {instance<V, Bfloat16, Bfloat16>(isa), instance<V, Bfloat16, float>(isa), instance<V, float, Bfloat16>(isa)};
}

}  // namespace pool
}  // namespace fovea
