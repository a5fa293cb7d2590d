// The template behind every row of kernels.inc. winograd.h says what the transforms do; here they are along one axis,
// and applied along both.
#pragma once
#include "kernels/winograd/winograd.h"
#include "simd/macros.h"

namespace fovea {
namespace winograd {

// F(2, 3) at the points 0, 1, -1, ∞.
template <class V>
struct Two {
  static constexpr int kOutputs = 2, kInputs = 4;

  static FOVEA_INLINE void input(const V (&d)[4], V (&v)[4]) {
    v[0] = d[2] - d[0];
    v[1] = d[1] + d[2];
    v[2] = d[2] - d[1];
    v[3] = d[3] - d[1];
  }
  static FOVEA_INLINE void weight(const V (&g)[3], V (&u)[4]) {
    const V half = V::splat(0.5f), even = half * (g[0] + g[2]);
    u[0] = V::zero() - g[0];
    u[1] = fma(half, g[1], even);
    u[2] = fma(V::splat(-0.5f), g[1], even);
    u[3] = g[2];
  }
  static FOVEA_INLINE void output(const V (&p)[4], V (&y)[2]) {
    y[0] = p[0] + (p[1] + p[2]);
    y[1] = (p[1] - p[2]) + p[3];
  }
  static FOVEA_INLINE void output_transposed(const V (&y)[2], V (&p)[4]) {
    p[0] = y[0];
    p[1] = y[0] + y[1];
    p[2] = y[0] - y[1];
    p[3] = y[1];
  }
  static FOVEA_INLINE void weight_transposed(const V (&u)[4], V (&g)[3]) {
    const V half = V::splat(0.5f), even = half * (u[1] + u[2]);
    g[0] = even - u[0];
    g[1] = half * (u[1] - u[2]);
    g[2] = even + u[3];
  }
};

// F(4, 3) at the points 0, ±a, ±b, ∞. With N(p) the product of the distances from p to the other points, rows of
//   Bᵀ: coefficients of Π(x - q) over the other finite points q;   G: (1, p, p²) / N(p);   Aᵀ columns: (1, p, p², p³).
// Rows of ±p differ in the sign of their odd half.
template <class V>
struct Four {
  static constexpr int kOutputs = 4, kInputs = 6;
  static constexpr float a = 0.625f, b = 1.5f, aa = a * a, bb = b * b;
  static constexpr double kZero = 1.0 / (double(aa) * bb), kA = 0.5 / (double(aa) * (double(aa) - bb)),
                          kB = 0.5 / (double(bb) * (double(bb) - aa));  // 1 / N

  static FOVEA_INLINE void pair(V p, V odd, V even, V* plus, V* minus) {
    *plus = fma(p, odd, even);
    *minus = fma(V::zero() - p, odd, even);
  }
  static FOVEA_INLINE void input(const V (&d)[6], V (&v)[6]) {
    const V a2 = V::splat(-aa), b2 = V::splat(-bb), both = V::splat(aa * bb), sum = V::splat(-(aa + bb));
    v[0] = fma(both, d[0], fma(sum, d[2], d[4]));
    pair(V::splat(a), fma(b2, d[1], d[3]), fma(b2, d[2], d[4]), &v[1], &v[2]);
    pair(V::splat(b), fma(a2, d[1], d[3]), fma(a2, d[2], d[4]), &v[3], &v[4]);
    v[5] = fma(both, d[1], fma(sum, d[3], d[5]));
  }
  static FOVEA_INLINE void weight(const V (&g)[3], V (&u)[6]) {
    u[0] = V::splat(float(kZero)) * g[0];
    pair(V::splat(float(kA * a)), g[1], fma(V::splat(float(kA * aa)), g[2], V::splat(float(kA)) * g[0]), &u[1], &u[2]);
    pair(V::splat(float(kB * b)), g[1], fma(V::splat(float(kB * bb)), g[2], V::splat(float(kB)) * g[0]), &u[3], &u[4]);
    u[5] = g[2];
  }
  static FOVEA_INLINE void output(const V (&p)[6], V (&y)[4]) {
    const V even_a = p[1] + p[2], odd_a = p[1] - p[2], even_b = p[3] + p[4], odd_b = p[3] - p[4];
    y[0] = p[0] + (even_a + even_b);
    y[1] = fma(V::splat(a), odd_a, V::splat(b) * odd_b);
    y[2] = fma(V::splat(aa), even_a, V::splat(bb) * even_b);
    y[3] = fma(V::splat(aa * a), odd_a, fma(V::splat(bb * b), odd_b, p[5]));
  }
  static FOVEA_INLINE void output_transposed(const V (&y)[4], V (&p)[6]) {
    const V a2 = V::splat(aa), b2 = V::splat(bb);
    p[0] = y[0];
    pair(V::splat(a), fma(a2, y[3], y[1]), fma(a2, y[2], y[0]), &p[1], &p[2]);
    pair(V::splat(b), fma(b2, y[3], y[1]), fma(b2, y[2], y[0]), &p[3], &p[4]);
    p[5] = y[3];
  }
  static FOVEA_INLINE void weight_transposed(const V (&u)[6], V (&g)[3]) {
    const V even_a = u[1] + u[2], odd_a = u[1] - u[2], even_b = u[3] + u[4], odd_b = u[3] - u[4];
    g[0] = fma(V::splat(float(kZero)), u[0], fma(V::splat(float(kA)), even_a, V::splat(float(kB)) * even_b));
    g[1] = fma(V::splat(float(kA * a)), odd_a, V::splat(float(kB * b)) * odd_b);
    g[2] = fma(V::splat(float(kA * aa)), even_a, fma(V::splat(float(kB * bb)), even_b, u[5]));
  }
};

// Both axes, columns first: at(i, j) gives the kIn×kIn square, put(i, j, value) takes the kOut×kOut one.
template <class V, int kIn, int kOut, class Transform, class At, class Put>
FOVEA_INLINE void square(const Transform& transform, const At& at, const Put& put) {
  V middle[kOut][kIn];
  UNROLL for (int j = 0; j < kIn; ++j) {
    V column[kIn], out[kOut];
    UNROLL for (int i = 0; i < kIn; ++i)
      column[i] = at(i, j);
    transform(column, out);
    UNROLL for (int i = 0; i < kOut; ++i)
      middle[i][j] = out[i];
  }
  UNROLL for (int i = 0; i < kOut; ++i) {
    V out[kOut];
    transform(middle[i], out);
    UNROLL for (int j = 0; j < kOut; ++j)
      put(i, j, out[j]);
  }
}

// T is how pixels lie in memory: float, or another form that V can load and store.
template <class V, template <class> class Points, class T = float>
void input(const T* x, ptrdiff_t x_row, const WinogradWindow* windows, int count, float* v, ptrdiff_t v_step) {
  using P = Points<V>;
  constexpr int n = P::kInputs;
  const auto transform = [](const V(&d)[n], V(&out)[n]) { P::input(d, out); };
  for (int t = 0; t < count; ++t, v += 16) {
    const WinogradWindow w = windows[t];
    const bool whole = w.row == 0 && w.row_end == n && w.column == 0 && w.column_end == n;
    for (int lane = 0; lane < 16; lane += V::kLanes) {
      const T* const from = x + w.offset + lane;
      float* const to = v + lane;
      const auto put = [&](int i, int j, V value) { value.store(to + (i * n + j) * v_step); };
      if (whole) {
        square<V, n, n>(transform, [&](int i, int j) { return V::load(from + i * x_row + j * 16); }, put);
      } else {
        const auto at = [&](int i, int j) {
          const bool exists = i >= w.row && i < w.row_end && j >= w.column && j < w.column_end;
          return exists ? V::load(from + (i - w.row) * x_row + (j - w.column) * 16) : V::zero();
        };
        square<V, n, n>(transform, at, put);
      }
    }
  }
}

template <class V, template <class> class Points>
void weight(const float* w, ptrdiff_t tap_step, int count, float* u, ptrdiff_t u_row, ptrdiff_t u_step) {
  using P = Points<V>;
  constexpr int n = P::kInputs;
  for (int i = 0; i < count; ++i, w += 144, u += u_row) {
    for (int lane = 0; lane < 16; lane += V::kLanes) {
      V middle[n][3];
      UNROLL for (int s = 0; s < 3; ++s) {
        V column[3], out[n];
        UNROLL for (int r = 0; r < 3; ++r)
          column[r] = V::load(w + lane + (3 * r + s) * tap_step);
        P::weight(column, out);
        UNROLL for (int r = 0; r < n; ++r)
          middle[r][s] = out[r];
      }
      UNROLL for (int r = 0; r < n; ++r) {
        V out[n];
        P::weight(middle[r], out);
        UNROLL for (int s = 0; s < n; ++s)
          out[s].store(u + lane + (r * n + s) * u_step);
      }
    }
  }
}

template <class V, template <class> class Points, class T = float>
bool output(const float* product, ptrdiff_t step, const float* bias, bool relu, int lanes,
            const WinogradTarget* targets, int count, T* y, ptrdiff_t y_row) {
  using P = Points<V>;
  constexpr int m = P::kOutputs, n = P::kInputs;
  V poison = V::zero();  // 0 times a value that is not finite is NaN
  for (int t = 0; t < count; ++t, product += 16) {
    const WinogradTarget target = targets[t];
    const bool whole = target.rows == m && target.columns == m;
    for (int lane = 0; lane < 16; lane += V::kLanes) {
      const V shift = bias ? V::load(bias + lane) : V::zero();
      const float* const from = product + lane;
      T* const to = y + target.offset + lane;
      V middle[m][n];
      UNROLL for (int j = 0; j < n; ++j) {
        V column[n], out[m];
        UNROLL for (int i = 0; i < n; ++i)
          column[i] = V::load(from + (i * n + j) * step);
        P::output(column, out);
        UNROLL for (int i = 0; i < m; ++i)
          middle[i][j] = out[i];
      }
      UNROLL for (int i = 0; i < m; ++i) {
        V out[m];
        P::output(middle[i], out);
        UNROLL for (int j = 0; j < m; ++j) {
          poison = fma(out[j], V::zero(), poison);
          V value = out[j] + shift;
          if (relu) value = max(V::zero(), value);
          if (lanes < 16) value = select(V::first_lanes(lanes - lane), value, V::zero());
          if (whole || (i < target.rows && j < target.columns)) value.store(to + i * y_row + j * 16);
        }
      }
    }
  }
  return bits(is_nan(poison)) == 0;
}

template <class V, template <class> class Points, class T = float>
void output_gradient(const T* dy, ptrdiff_t dy_row, const WinogradTarget* targets, int count, float* u,
                     ptrdiff_t u_step, float* total) {
  using P = Points<V>;
  constexpr int m = P::kOutputs, n = P::kInputs;
  const auto transform = [](const V(&d)[m], V(&out)[n]) { P::output_transposed(d, out); };
  for (int lane = 0; lane < 16; lane += V::kLanes) {
    V pixels = V::zero();
    for (int t = 0; t < count; ++t) {
      const WinogradTarget target = targets[t];
      const T* const from = dy + target.offset + lane;
      float* const to = u + 16 * t + lane;
      V row[m];
      UNROLL for (int i = 0; i < m; ++i)
        row[i] = V::zero();
      const auto put = [&](int i, int j, V value) { value.store(to + (i * n + j) * u_step); };
      const auto read = [&](int i, int j) {
        const V value = V::load(from + i * dy_row + j * 16);
        row[i] = row[i] + value;
        return value;
      };
      if (target.rows == m && target.columns == m) {
        square<V, m, n>(transform, read, put);
      } else {
        const auto at = [&](int i, int j) { return i < target.rows && j < target.columns ? read(i, j) : V::zero(); };
        square<V, m, n>(transform, at, put);
      }
      UNROLL for (int i = 0; i < m; ++i)
        pixels = pixels + row[i];
    }
    if (total) (V::load(total + lane) + pixels).store(total + lane);
  }
}

template <class V, template <class> class Points>
bool weight_gradient(const float* product, ptrdiff_t step, int count, float* dw, ptrdiff_t tap_step) {
  using P = Points<V>;
  constexpr int n = P::kInputs;
  const auto transform = [](const V(&u)[n], V(&g)[3]) { P::weight_transposed(u, g); };
  V poison = V::zero();
  for (int i = 0; i < count; ++i, product += 16, dw += 144) {
    for (int lane = 0; lane < 16; lane += V::kLanes) {
      square<V, n, 3>(
          transform, [&](int r, int s) { return V::load(product + lane + (r * n + s) * step); },
          [&](int r, int s, V value) {
            poison = fma(value, V::zero(), poison);
            value.store(dw + lane + (3 * r + s) * tap_step);
          });
    }
  }
  return bits(is_nan(poison)) == 0;
}

// sum[i][j] += v[i]·row[j]. A broadcast of its own would cost as much as a product (Zen 4): with one product for
// each it is better part of the multiply-add.
template <class V, int M, int kVectors>
FOVEA_INLINE void multiply_add(V (&sum)[M][kVectors], const float* v, const V (&row)[kVectors]) {
  UNROLL for (int i = 0; i < M; ++i) {
    if constexpr (kVectors == 1) {
      accumulate(sum[i][0], v + i, row[0]);
    } else {
      const V vi = V::splat(v[i]);
      UNROLL for (int j = 0; j < kVectors; ++j)
        sum[i][j] = fma(vi, row[j], sum[i][j]);
    }
  }
}

// Channels whose filters stay in L1 while all tiles pass: 64 rows of 64 filters are 16 KiB.
constexpr int kPanel = 64;

// M tiles by NB blocks of filters stay in registers for one sum; channels [c, end) of them. With kFetch the rows of U
// after `end` are asked for: by then the tiles that follow will have passed.
template <class V, int M, int NB, bool kFetch>
void multiply_rows(const WinogradMultiply& call, int tile, int c, int end) {
  constexpr int kParts = 16 / V::kLanes, kVectors = NB * kParts;
  const float* u = call.u + ptrdiff_t(c) * 16 * NB;
  float* const product = call.product + 16 * tile;
  while (c < end) {
    const int sum_end = c + 16 * call.sum < end ? c + 16 * call.sum : end;
    const bool accumulate = call.accumulate || c > 0;
    V sum[M][kVectors];
    UNROLL for (int i = 0; i < M; ++i) {
      UNROLL for (int j = 0; j < kVectors; ++j)
        sum[i][j] = V::zero();
    }
    const auto add = [&](const float* v, int step) {
      V row[kVectors];
      UNROLL for (int j = 0; j < kVectors; ++j)
        row[j] = V::load(u + 16 * NB * step + j * V::kLanes);
      if (kFetch) {
        UNROLL for (int j = 0; j < NB; ++j)
          __builtin_prefetch(u + 16 * NB * (step + kPanel) + 16 * j, 0, 2);
      }
      UNROLL for (int i = 0; i < M; ++i) {
        const V vi = V::splat(v[16 * i + step]);
        UNROLL for (int j = 0; j < kVectors; ++j)
          sum[i][j] = fma(vi, row[j], sum[i][j]);
      }
    };
    while (c < sum_end) {
      const float* v = call.v + c / 16 * call.v_block + 16 * tile;
      const int stop = c + 16 < sum_end ? c + 16 : sum_end;
      for (; c + 4 <= stop; c += 4, v += 4, u += 64 * NB) {  // by four, so that counting costs little
        UNROLL for (int step = 0; step < 4; ++step)
          add(v, step);
      }
      for (; c < stop; ++c, ++v, u += 16 * NB) add(v, 0);
    }
    UNROLL for (int i = 0; i < M; ++i) {
      UNROLL for (int j = 0; j < kVectors; ++j) {
        float* const to = product + j / kParts * call.product_block + 16 * i + j % kParts * V::kLanes;
        if (accumulate) sum[i][j] = V::load(to) + sum[i][j];
        sum[i][j].store(to);
      }
    }
  }
}

template <class V, int M, int NB>
void multiply_rest(const WinogradMultiply& call, int tile, int c, int end) {
  if (call.tiles - tile == M) return multiply_rows<V, M, NB, false>(call, tile, c, end);
  if constexpr (M > 1) multiply_rest<V, M - 1, NB>(call, tile, c, end);
}

template <class V, int M, int NB>
void multiply(const WinogradMultiply& call) {
  if constexpr (NB > 1) {
    if (call.blocks < NB) return multiply<V, M, NB - 1>(call);
  }
  for (int c = 0; c < call.depth; c += kPanel) {
    const int end = c + kPanel < call.depth ? c + kPanel : call.depth;
    int tile = 0;
    if (M <= call.tiles) multiply_rows<V, M, NB, true>(call, 0, c, end), tile = M;
    for (; tile + M <= call.tiles; tile += M) multiply_rows<V, M, NB, false>(call, tile, c, end);
    if constexpr (M > 1) multiply_rest<V, M - 1, NB>(call, tile, c, end);
  }
}

// M channels by NB blocks of filters stay in registers while all tiles pass.
template <class V, int M, int NB>
void multiply_channels(const WinogradGradMultiply& call, const float* v, const float* u, float* product) {
  constexpr int kParts = 16 / V::kLanes, kVectors = NB * kParts;
  V sum[M][kVectors];
  UNROLL for (int i = 0; i < M; ++i) {
    UNROLL for (int j = 0; j < kVectors; ++j)
      sum[i][j] = V::zero();
  }
  const auto add = [&](int tile) {
    V row[kVectors];
    UNROLL for (int j = 0; j < kVectors; ++j)
      row[j] = V::load(u + j / kParts * call.u_block + 16 * tile + j % kParts * V::kLanes);
    multiply_add<V, M, kVectors>(sum, v + 16 * tile, row);
  };
  int tile = 0;
  for (; tile + 4 <= call.tiles; tile += 4, v += 64, u += 64) {
    UNROLL for (int i = 0; i < 4; ++i)
      add(i);
  }
  for (; tile < call.tiles; ++tile, v += 16, u += 16) add(0);
  UNROLL for (int i = 0; i < M; ++i) {
    UNROLL for (int j = 0; j < kVectors; ++j) {
      float* const to = product + j / kParts * call.product_block + 16 * i + j % kParts * V::kLanes;
      if (call.accumulate) sum[i][j] = V::load(to) + sum[i][j];
      sum[i][j].store(to);
    }
  }
}

template <class V, int M, int NB>
void multiply_gradient(const WinogradGradMultiply& call) {
  if constexpr (NB > 1) {
    if (call.filters < NB) return multiply_gradient<V, M, NB - 1>(call);
  }
  const float* v = call.v;
  float* product = call.product;
  for (int block = 0; block < call.channels; ++block, v += call.v_block, product += 256) {
    int c = 0;
    for (; c + M <= 16; c += M) multiply_channels<V, M, NB>(call, v + c, call.u, product + 16 * c);
    if constexpr (16 % M > 0) multiply_channels<V, 16 % M, NB>(call, v + c, call.u, product + 16 * c);
  }
}

template <class V, template <class> class Points>
constexpr WinogradTransforms transforms() {
  return {Points<V>::kOutputs, Points<V>::kInputs,         input<V, Points>,          weight<V, Points>,
          output<V, Points>,   output_gradient<V, Points>, weight_gradient<V, Points>};
}

}  // namespace winograd

// rows × 16·blocks sums, one row of U and one element of V must fit the registers; likewise for the gradient.
#define WINOGRAD_INSTANCE(name, V, rows, blocks, grad_rows, grad_blocks, fused) \
  extern const WinogradKernels name;                                            \
  constexpr WinogradKernels name = {#name,                                      \
                                    blocks,                                     \
                                    grad_blocks,                                \
                                    fused,                                      \
                                    winograd::transforms<V, winograd::Two>(),   \
                                    winograd::transforms<V, winograd::Four>(),  \
                                    winograd::multiply<V, rows, blocks>,        \
                                    winograd::multiply_gradient<V, grad_rows, grad_blocks>};

}  // namespace fovea
