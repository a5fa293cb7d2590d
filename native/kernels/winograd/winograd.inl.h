// The template behind every row of kernels.inc. winograd.h says what the transforms do; here they are along one axis,
// and applied along both.
#pragma once
#include <type_traits>

#include "kernels/winograd/winograd.h"
#include "simd/macros.h"

namespace fovea {
namespace winograd {

// even ± p·odd: the rows of a transform for ±p differ in the sign of their odd half.
template <class V>
FOVEA_INLINE void pair(V p, V odd, V even, V* plus, V* minus) {
  *plus = fma(p, odd, even);
  *minus = fma(V::zero() - p, odd, even);
}

// F(2, 3) at the points 0, 1, -1, ∞.
template <class V>
struct Two {
  static constexpr int kOutputs = 2, kTaps = 3, kPoints = 4;

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
template <class V>
struct Four {
  static constexpr int kOutputs = 4, kTaps = 3, kPoints = 6;
  static constexpr float a = 0.625f, b = 1.5f, aa = a * a, bb = b * b;
  static constexpr double kZero = 1.0 / (double(aa) * bb), kA = 0.5 / (double(aa) * (double(aa) - bb)),
                          kB = 0.5 / (double(bb) * (double(bb) - aa));  // 1 / N

  static FOVEA_INLINE void input(const V (&d)[6], V (&v)[6]) {
    const V a2 = V::splat(-aa), b2 = V::splat(-bb), both = V::splat(aa * bb), sum = V::splat(-(aa + bb));
    v[0] = fma(both, d[0], fma(sum, d[2], d[4]));
    pair<V>(V::splat(a), fma(b2, d[1], d[3]), fma(b2, d[2], d[4]), &v[1], &v[2]);
    pair<V>(V::splat(b), fma(a2, d[1], d[3]), fma(a2, d[2], d[4]), &v[3], &v[4]);
    v[5] = fma(both, d[1], fma(sum, d[3], d[5]));
  }
  static FOVEA_INLINE void weight(const V (&g)[3], V (&u)[6]) {
    u[0] = V::splat(float(kZero)) * g[0];
    pair<V>(V::splat(float(kA * a)), g[1], fma(V::splat(float(kA * aa)), g[2], V::splat(float(kA)) * g[0]), &u[1],
            &u[2]);
    pair<V>(V::splat(float(kB * b)), g[1], fma(V::splat(float(kB * bb)), g[2], V::splat(float(kB)) * g[0]), &u[3],
            &u[4]);
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
    pair<V>(V::splat(a), fma(a2, y[3], y[1]), fma(a2, y[2], y[0]), &p[1], &p[2]);
    pair<V>(V::splat(b), fma(b2, y[3], y[1]), fma(b2, y[2], y[0]), &p[3], &p[4]);
    p[5] = y[3];
  }
  static FOVEA_INLINE void weight_transposed(const V (&u)[6], V (&g)[3]) {
    const V even_a = u[1] + u[2], odd_a = u[1] - u[2], even_b = u[3] + u[4], odd_b = u[3] - u[4];
    g[0] = fma(V::splat(float(kZero)), u[0], fma(V::splat(float(kA)), even_a, V::splat(float(kB)) * even_b));
    g[1] = fma(V::splat(float(kA * a)), odd_a, V::splat(float(kB * b)) * odd_b);
    g[2] = fma(V::splat(float(kA * aa)), even_a, fma(V::splat(float(kB * bb)), even_b, u[5]));
  }
};

// F(2, 5) at the same points: Bᵀ does not depend on how many are taps and how many outputs. Not for the gradient of the
// weight, whose sums over 4 products a tile would be beyond the contract (6.6e-7 of 6.7e-7 over 200 tiles).
template <class V>
struct TwoOfFive {
  using Points = Four<V>;
  static constexpr int kOutputs = 2, kTaps = 5, kPoints = 6;
  static constexpr float a = Points::a, b = Points::b, aa = a * a, bb = b * b;
  static constexpr double kA = Points::kA, kB = Points::kB;

  static FOVEA_INLINE void input(const V (&d)[6], V (&v)[6]) { Points::input(d, v); }
  // (g_0 + g_2 p² + g_4 p⁴ ± p (g_1 + g_3 p²)) / N for ±p.
  static FOVEA_INLINE void weight(const V (&g)[5], V (&u)[6]) {
    const auto of = [&g](double n, float p, float pp, V* plus, V* minus) {
      const V odd = fma(V::splat(float(n * pp)), g[3], V::splat(float(n)) * g[1]);
      const V high = fma(V::splat(float(n * pp * pp)), g[4], V::splat(float(n * pp)) * g[2]);
      pair<V>(V::splat(p), odd, fma(V::splat(float(n)), g[0], high), plus, minus);
    };
    u[0] = V::splat(float(Points::kZero)) * g[0];
    of(kA, a, aa, &u[1], &u[2]);
    of(kB, b, bb, &u[3], &u[4]);
    u[5] = g[4];
  }
  static FOVEA_INLINE void output(const V (&p)[6], V (&y)[2]) {
    y[0] = p[0] + ((p[1] + p[2]) + (p[3] + p[4]));
    y[1] = fma(V::splat(a), p[1] - p[2], fma(V::splat(b), p[3] - p[4], p[5]));
  }
};

// F(4, 2) at the points ±a, ±b, ∞.
template <class V>
struct FourOfTwo {
  static constexpr int kOutputs = 4, kTaps = 2, kPoints = 5;
  static constexpr float a = 0.375f, b = 1.25f, aa = a * a, bb = b * b;
  static constexpr double kA = 0.5 / (double(aa) - bb), kB = 0.5 / (double(bb) - aa);  // p / N

  static FOVEA_INLINE void input(const V (&d)[5], V (&v)[5]) {
    const V a2 = V::splat(-aa), b2 = V::splat(-bb);
    pair<V>(V::splat(a), fma(b2, d[0], d[2]), fma(b2, d[1], d[3]), &v[0], &v[1]);
    pair<V>(V::splat(b), fma(a2, d[0], d[2]), fma(a2, d[1], d[3]), &v[2], &v[3]);
    v[4] = fma(V::splat(aa * bb), d[0], fma(V::splat(-(aa + bb)), d[2], d[4]));
  }
  static FOVEA_INLINE void weight(const V (&g)[2], V (&u)[5]) {
    const V a0 = V::splat(float(kA / a)) * g[0], a1 = V::splat(float(kA)) * g[1];
    const V b0 = V::splat(float(kB / b)) * g[0], b1 = V::splat(float(kB)) * g[1];
    u[0] = a1 + a0;
    u[1] = a1 - a0;
    u[2] = b1 + b0;
    u[3] = b1 - b0;
    u[4] = g[1];
  }
  static FOVEA_INLINE void output(const V (&p)[5], V (&y)[4]) {
    const V even_a = p[0] + p[1], odd_a = p[0] - p[1], even_b = p[2] + p[3], odd_b = p[2] - p[3];
    y[0] = even_a + even_b;
    y[1] = fma(V::splat(a), odd_a, V::splat(b) * odd_b);
    y[2] = fma(V::splat(aa), even_a, V::splat(bb) * even_b);
    y[3] = fma(V::splat(aa * a), odd_a, fma(V::splat(bb * b), odd_b, p[4]));
  }
  static FOVEA_INLINE void output_transposed(const V (&y)[4], V (&p)[5]) {
    const V a2 = V::splat(aa), b2 = V::splat(bb);
    pair<V>(V::splat(a), fma(a2, y[3], y[1]), fma(a2, y[2], y[0]), &p[0], &p[1]);
    pair<V>(V::splat(b), fma(b2, y[3], y[1]), fma(b2, y[2], y[0]), &p[2], &p[3]);
    p[4] = y[3];
  }
  static FOVEA_INLINE void weight_transposed(const V (&u)[5], V (&g)[2]) {
    g[0] = fma(V::splat(float(kA / a)), u[0] - u[1], V::splat(float(kB / b)) * (u[2] - u[3]));
    g[1] = fma(V::splat(float(kA)), u[0] + u[1], fma(V::splat(float(kB)), u[2] + u[3], u[4]));
  }
};

// F(4, 1): there is nothing to save.
template <class V>
struct FourOfOne {
  static constexpr int kOutputs = 4, kTaps = 1, kPoints = 4;

  static FOVEA_INLINE void copy(const V (&from)[4], V (&to)[4]) {
    UNROLL for (int i = 0; i < 4; ++i)
      to[i] = from[i];
  }
  static FOVEA_INLINE void input(const V (&d)[4], V (&v)[4]) { copy(d, v); }
  static FOVEA_INLINE void weight(const V (&g)[1], V (&u)[4]) {
    UNROLL for (int i = 0; i < 4; ++i)
      u[i] = g[0];
  }
  static FOVEA_INLINE void output(const V (&p)[4], V (&y)[4]) { copy(p, y); }
  static FOVEA_INLINE void output_transposed(const V (&y)[4], V (&p)[4]) { copy(y, p); }
  static FOVEA_INLINE void weight_transposed(const V (&u)[4], V (&g)[1]) { g[0] = (u[0] + u[1]) + (u[2] + u[3]); }
};

// The phases of an axis, one for each step of the stride: phase a has the taps a, a + stride, … of the filter.
template <class... Phases>
struct Axis;
template <class First>
struct Axis<First> {
  static constexpr int kStride = 1, kOutputs = First::kOutputs, kPoints = First::kPoints, kInputs = First::kPoints;
  static constexpr int kTaps = First::kTaps;
  template <int a>
  using Phase = First;
};
template <class First, class Second>
struct Axis<First, Second> {
  static constexpr int kStride = 2, kOutputs = First::kOutputs, kPoints = First::kPoints + Second::kPoints;
  static constexpr int kInputs = First::kPoints;  // of the longest phase
  static constexpr int kTaps = First::kTaps + Second::kTaps;
  template <int a>
  using Phase = std::conditional_t<a == 0, First, Second>;
};
template <class V>
using Strided = Axis<FourOfTwo<V>, FourOfOne<V>>;  // of 3 taps

template <class A>
constexpr int point(int a, int i) {
  return a * A::template Phase<0>::kPoints + i;
}
template <class A>
constexpr int tap(int a, int i) {
  return A::kStride * i + a;
}

// The transforms of one phase, with what they take and give.
#define WINOGRAD_MAP(Name, function, from, to)                            \
  template <class P>                                                      \
  struct Name {                                                           \
    static constexpr int kFrom = P::from, kTo = P::to;                    \
    template <class V>                                                    \
    static FOVEA_INLINE void apply(const V (&in)[kFrom], V (&out)[kTo]) { \
      P::function(in, out);                                               \
    }                                                                     \
  };
WINOGRAD_MAP(Input, input, kPoints, kPoints)
WINOGRAD_MAP(Weight, weight, kTaps, kPoints)
WINOGRAD_MAP(Output, output, kPoints, kOutputs)
WINOGRAD_MAP(OutputTransposed, output_transposed, kOutputs, kPoints)
WINOGRAD_MAP(WeightTransposed, weight_transposed, kPoints, kTaps)
#undef WINOGRAD_MAP

// A transform along both axes, columns first, for each phase a of the rows and b of the columns: at(a, i, b, j) gives
// the element (i, j) of what is transformed, put(a, i, b, j, value) takes that of the result.
template <class V, class A, template <class> class Map, int a = 0, int b = 0, class At, class Put>
FOVEA_INLINE void both_axes(At&& at, Put&& put) {
  using Rows = Map<typename A::template Phase<a>>;
  using Columns = Map<typename A::template Phase<b>>;
  V middle[Rows::kTo][Columns::kFrom];
  UNROLL for (int j = 0; j < Columns::kFrom; ++j) {
    V column[Rows::kFrom], out[Rows::kTo];
    UNROLL for (int i = 0; i < Rows::kFrom; ++i)
      column[i] = at(a, i, b, j);
    Rows::apply(column, out);
    UNROLL for (int i = 0; i < Rows::kTo; ++i)
      middle[i][j] = out[i];
  }
  UNROLL for (int i = 0; i < Rows::kTo; ++i) {
    V out[Columns::kTo];
    Columns::apply(middle[i], out);
    UNROLL for (int j = 0; j < Columns::kTo; ++j)
      put(a, i, b, j, out[j]);
  }
  if constexpr (b + 1 < A::kStride) {
    both_axes<V, A, Map, a, b + 1>(at, put);
  } else if constexpr (a + 1 < A::kStride) {
    both_axes<V, A, Map, a + 1, 0>(at, put);
  }
}

constexpr WinogradPitch framed(int size) { return {16 * size, 16}; }

// The pixels of a tile that the image's edge cuts, with zeros in the place of those that do not exist.
template <class T, int kSize>
struct Frame {
  alignas(64) T pixels[kSize * kSize * 16];

  static FOVEA_INLINE bool needed(const WinogradWindow& w) {
    return w.row > 0 || w.row_end < kSize || w.column > 0 || w.column_end < kSize;
  }
  void read(const T* image, WinogradPitch pitch, const WinogradWindow& w) {
    for (int i = 0; i < kSize; ++i) {
      const bool exists = i >= w.row && i < w.row_end;
      const int first = exists ? w.column : kSize, end = exists ? w.column_end : kSize;
      for (int j = 0; j < first; ++j) __builtin_memset(at(i, j), 0, kBytes);
      const T* from = image + (i - w.row) * pitch.row;
      for (int j = first; j < end; ++j, from += pitch.pixel) __builtin_memcpy(at(i, j), from, kBytes);
      for (int j = end; j < kSize; ++j) __builtin_memset(at(i, j), 0, kBytes);
    }
  }
  void write(T* image, WinogradPitch pitch, const WinogradTarget& w) {
    for (int i = w.row; i < w.row_end; ++i, image += pitch.row) {
      T* to = image;
      for (int j = w.column; j < w.column_end; ++j, to += pitch.pixel) __builtin_memcpy(to, at(i, j), kBytes);
    }
  }

 private:
  static constexpr size_t kBytes = 16 * sizeof(T);  // of a pixel

  FOVEA_INLINE T* at(int i, int j) { return pixels + (i * kSize + j) * 16; }
};

constexpr int kTilesAhead = 2;

// Asks for the pixels of a tile before its turn: what caches fetch by themselves ends with each short row.
template <int kSize, class T>
FOVEA_INLINE void ask(const T* tile, WinogradPitch pitch) {
  UNROLL for (int i = 0; i < kSize; ++i) {
    UNROLL for (int j = 0; j < kSize; ++j)
      __builtin_prefetch(tile + i * pitch.row + j * pitch.pixel, 0, 3);
  }
}

// What WinogradTransforms says of a kernel holds for `A`; kSpread: the input gradient of a convolution of that stride.
template <class V, class A, bool kSpread>
struct Transforms {
  static constexpr int kPoints = A::kPoints;
  static constexpr int kInputs = kSpread ? A::kInputs : A::kStride * (A::kInputs - 1) + 1;
  static constexpr int kOutputs = kSpread ? A::kStride * A::kOutputs : A::kOutputs;
  static constexpr int kFilter = 16 * A::kTaps * A::kTaps;  // floats

  static FOVEA_INLINE int frequency(int a, int i, int b, int j) { return point<A>(a, i) * kPoints + point<A>(b, j); }
  static FOVEA_INLINE int source(int a, int i) { return kSpread ? i : tap<A>(a, i); }
  // The last phase of a gradient has the first pixels.
  static FOVEA_INLINE int spread(int a, int i) { return tap<A>(A::kStride - 1 - a, i); }

  // The frequencies of a tile as both_axes() asks for them. How far they are apart is known at run time only: GCC would
  // keep all multiples of it on the stack, and load each anew.
  struct Gather {
    const float* from;
    ptrdiff_t step;
    const float* line = nullptr;

    FOVEA_INLINE V operator()(int a, int i, int b, int j) {
      line = kept(i == 0 ? from + frequency(a, 0, b, j) * step : line + kPoints * step);
      return V::load(line);
    }
  };
  template <class U>
  struct Scatter {
    U* to;
    ptrdiff_t step;
    U* line = nullptr;

    FOVEA_INLINE void operator()(int a, int i, int b, int j, V value) {
      line = kept(j == 0 ? to + frequency(a, i, b, 0) * step : line + step);
      value.store(line);
    }
  };

  // T is how pixels lie in memory: float, or another form that V can load and store. kPixel: pitch.pixel where it is
  // known here, so that addresses are constants apart; else 0. U is how what comes of them lies; tiles are 64 bytes
  // apart.
  template <class T, ptrdiff_t kPixel, class U>
  static void input_at(const T* x, WinogradPitch pitch, const WinogradWindow* windows, int count, U* v,
                       ptrdiff_t v_step) {
    constexpr ptrdiff_t kTile = 64 / sizeof(U);
    Frame<T, kInputs> frame;
    for (int t = 0; t < count; ++t, v += kTile) {
      const bool cut = frame.needed(windows[t]);
      if (cut) frame.read(x + windows[t].offset, pitch, windows[t]);
      const T* const tile = cut ? frame.pixels : x + windows[t].offset;
      const WinogradPitch p = cut ? framed(kInputs) : pitch;
      for (int lane = 0; lane < 16; lane += V::kLanes) {
        both_axes<V, A, Input>(
            [&](int a, int i, int b, int j) {
              return V::load(tile + lane + source(a, i) * p.row + source(b, j) * (kPixel ? kPixel : p.pixel));
            },
            Scatter<U>{v + lane, v_step});
      }
    }
  }

  static void weight(const float* w, ptrdiff_t tap_step, int count, float* u, ptrdiff_t u_row, ptrdiff_t u_step) {
    for (int i = 0; i < count; ++i, w += kFilter, u += u_row) {
      for (int lane = 0; lane < 16; lane += V::kLanes) {
        both_axes<V, A, Weight>(
            [&](int a, int r, int b, int s) {
              return V::load(w + lane + (A::kTaps * tap<A>(a, r) + tap<A>(b, s)) * tap_step);
            },
            Scatter<float>{u + lane, u_step});
      }
    }
  }

  template <class T, ptrdiff_t kPixel>
  static bool output_at(const float* product, ptrdiff_t step, const float* bias, bool relu, int lanes,
                        const WinogradTarget* targets, int count, T* y, WinogradPitch pitch) {
    constexpr int m = kOutputs;
    const V floor = V::splat(relu ? 0 : -__builtin_inff());
    V poison = V::zero();  // 0 times a value that is not finite is NaN
    Frame<T, m> frame;
    for (int t = 0; t < count; ++t, product += 16) {
      const bool cut = frame.needed(targets[t]);
      T* const tile = cut ? frame.pixels : y + targets[t].offset;
      const WinogradPitch p = cut ? framed(m) : pitch;
      for (int lane = 0; lane < 16; lane += V::kLanes) {
        const V shift = bias ? V::load(bias + lane) : V::zero();
        const auto exist = V::first_lanes(lanes - lane);
        const auto finish = [&](int i, int j, V sum) {
          poison = fma(sum, V::zero(), poison);
          const V value = select(exist, max(floor, sum + shift), V::zero());
          value.store(tile + lane + i * p.row + j * (kPixel ? kPixel : p.pixel));
        };
        Gather at{product + lane, step};
        if constexpr (kSpread) {
          both_axes<V, A, Output>(
              at, [&](int a, int i, int b, int j, V value) { finish(spread(a, i), spread(b, j), value); });
        } else {
          V sum[m][m];
          both_axes<V, A, Output>(
              at, [&](int a, int i, int b, int j, V value) { sum[i][j] = a + b > 0 ? sum[i][j] + value : value; });
          UNROLL for (int i = 0; i < m; ++i) {
            UNROLL for (int j = 0; j < m; ++j)
              finish(i, j, sum[i][j]);
          }
        }
      }
      if (cut) frame.write(y + targets[t].offset, pitch, targets[t]);
    }
    return bits(is_nan(poison)) == 0;
  }

  template <class T, ptrdiff_t kPixel>
  static void output_gradient_at(const T* dy, WinogradPitch pitch, const WinogradTarget* targets, int count, float* u,
                                 ptrdiff_t u_step, float* total) {
    constexpr int m = kOutputs;
    V pixels[16 / V::kLanes];
    for (V& sum : pixels) sum = V::zero();
    Frame<T, m> frame;
    for (int t = 0; t < count; ++t, u += 16) {
      if (t + kTilesAhead < count) ask<m>(dy + targets[t + kTilesAhead].offset, pitch);
      const bool cut = frame.needed(targets[t]);
      if (cut) frame.read(dy + targets[t].offset, pitch, targets[t]);
      const T* const tile = cut ? frame.pixels : dy + targets[t].offset;
      const WinogradPitch p = cut ? framed(m) : pitch;
      for (int lane = 0; lane < 16; lane += V::kLanes) {
        V row[m];
        UNROLL for (int i = 0; i < m; ++i)
          row[i] = V::zero();
        both_axes<V, A, OutputTransposed>(
            [&](int a, int i, int b, int j) {
              const V value = V::load(tile + lane + i * p.row + j * (kPixel ? kPixel : p.pixel));
              if (a + b == 0) row[i] = row[i] + value;
              return value;
            },
            Scatter<float>{u + lane, u_step});
        V& sum = pixels[lane / V::kLanes];
        UNROLL for (int i = 0; i < m; ++i)
          sum = sum + row[i];
      }
    }
    for (int lane = 0; total && lane < 16; lane += V::kLanes)
      (V::load(total + lane) + pixels[lane / V::kLanes]).store(total + lane);
  }

  static bool weight_gradient(const float* product, ptrdiff_t step, int count, float* dw, ptrdiff_t tap_step) {
    V poison = V::zero();
    for (int i = 0; i < count; ++i, product += 16, dw += kFilter) {
      for (int lane = 0; lane < 16; lane += V::kLanes) {
        both_axes<V, A, WeightTransposed>(Gather{product + lane, step}, [&](int a, int r, int b, int s, V value) {
          poison = fma(value, V::zero(), poison);
          value.store(dw + lane + (A::kTaps * tap<A>(a, r) + tap<A>(b, s)) * tap_step);
        });
      }
    }
    return bits(is_nan(poison)) == 0;
  }

  template <class T, class U = float>
  static void input(const T* x, WinogradPitch pitch, const WinogradWindow* windows, int count, U* v, ptrdiff_t v_step) {
    return pitch.pixel == 16 ? input_at<T, 16, U>(x, pitch, windows, count, v, v_step)
                             : input_at<T, 0, U>(x, pitch, windows, count, v, v_step);
  }

  template <class T = float>
  static bool output(const float* product, ptrdiff_t step, const float* bias, bool relu, int lanes,
                     const WinogradTarget* targets, int count, T* y, WinogradPitch pitch) {
    return pitch.pixel == 16 ? output_at<T, 16>(product, step, bias, relu, lanes, targets, count, y, pitch)
                             : output_at<T, 0>(product, step, bias, relu, lanes, targets, count, y, pitch);
  }

  template <class T = float>
  static void output_gradient(const T* dy, WinogradPitch pitch, const WinogradTarget* targets, int count, float* u,
                              ptrdiff_t u_step, float* total) {
    return pitch.pixel == 16 ? output_gradient_at<T, 16>(dy, pitch, targets, count, u, u_step, total)
                             : output_gradient_at<T, 0>(dy, pitch, targets, count, u, u_step, total);
  }

  static constexpr bool kGradient = !kSpread && A::kTaps == 3;  // of the weight

  static constexpr WinogradTransforms table() {
    if constexpr (!kGradient)
      return {kOutputs, kInputs, kPoints, input<float>, weight, output<float>, nullptr, nullptr};
    else
      return {kOutputs, kInputs, kPoints, input<float>, weight, output<float>, output_gradient<float>, weight_gradient};
  }
  static constexpr WinogradBf16Transforms rounded() {
    if constexpr (!kGradient)
      return {input<Bfloat16>, output<Bfloat16>, nullptr};
    else
      return {input<Bfloat16>, output<Bfloat16>, output_gradient<Bfloat16>};
  }
};

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

// M tiles by NB blocks of filters stay in registers for one sum; channels [c, end) of them. Where twice as many fit,
// what the sums add up to stays there as well. With kFetch the rows of U after `end` are asked for: by then the tiles
// that follow will have passed.
template <class V, int M, int NB, bool kFetch>
void multiply_rows(const WinogradMultiply& call, int tile, int c, int end) {
  constexpr int kParts = 16 / V::kLanes, kVectors = NB * kParts;
  constexpr bool kTotals = (2 * M + 1) * kVectors + 1 <= V::kRegisters;
  const float* u = call.u + ptrdiff_t(c) * 16 * NB;
  float* const product = call.product + 16 * tile;
  const auto place = [&](int i, int j) {
    return product + j / kParts * call.product_block + 16 * i + j % kParts * V::kLanes;
  };
  bool accumulate = call.accumulate || c > 0;
  V total[M][kVectors];
  if (kTotals) {
    UNROLL for (int i = 0; i < M; ++i) {
      UNROLL for (int j = 0; j < kVectors; ++j)
        total[i][j] = accumulate ? V::load(place(i, j)) : V::zero();
    }
  }
  while (c < end) {
    const int sum_end = c + 16 * call.sum < end ? c + 16 * call.sum : end;
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
        if (kTotals) {
          total[i][j] = total[i][j] + sum[i][j];
        } else {
          (accumulate ? V::load(place(i, j)) + sum[i][j] : sum[i][j]).store(place(i, j));
        }
      }
    }
    accumulate = true;
  }
  if (kTotals) {
    UNROLL for (int i = 0; i < M; ++i) {
      UNROLL for (int j = 0; j < kVectors; ++j)
        total[i][j].store(place(i, j));
    }
  }
}

template <class V, int M, int NB>
void multiply_rest(const WinogradMultiply& call, int tile, int c, int end) {
  if (call.tiles - tile == M) return multiply_rows<V, M, NB, false>(call, tile, c, end);
  if constexpr (M > 1) multiply_rest<V, M - 1, NB>(call, tile, c, end);
}

// NB blocks of filters, or fewer if the call has fewer: then tiles of kFewRows instead of kRows, if there are at most
// kFewBlocks.
template <class V, int kRows, int NB, int kFewRows, int kFewBlocks>
void multiply(const WinogradMultiply& call) {
  // One block leaves room for twice as many tiles, and so half as many stores that wait for their sums.
  constexpr bool kTwice = NB == 1 && (4 * kFewRows + 1) * (16 / V::kLanes) + 1 <= V::kRegisters;
  constexpr int M = NB > kFewBlocks ? kRows : kTwice ? 2 * kFewRows : kFewRows;
  if constexpr (NB > 1) {
    if (call.blocks < NB) return multiply<V, kRows, NB - 1, kFewRows, kFewBlocks>(call);
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

}  // namespace winograd

// rows × 16·blocks sums, one row of U and one element of V must fit the registers; likewise for the gradient.
// few_rows × 16·few_blocks sums should fit twice, for what short sums add up to.
#define WINOGRAD_INSTANCE(name, V, rows, blocks, few_rows, few_blocks, grad_rows, grad_blocks, fused)                \
  extern const WinogradKernels name;                                                                                 \
  constexpr WinogradKernels name = {#name,                                                                           \
                                    rows,                                                                            \
                                    blocks,                                                                          \
                                    few_rows,                                                                        \
                                    few_blocks,                                                                      \
                                    grad_blocks,                                                                     \
                                    fused,                                                                           \
                                    winograd::Transforms<V, winograd::Axis<winograd::Two<V>>, false>::table(),       \
                                    winograd::Transforms<V, winograd::Axis<winograd::Four<V>>, false>::table(),      \
                                    winograd::Transforms<V, winograd::Axis<winograd::TwoOfFive<V>>, false>::table(), \
                                    winograd::Transforms<V, winograd::Strided<V>, false>::table(),                   \
                                    winograd::Transforms<V, winograd::Strided<V>, true>::table(),                    \
                                    winograd::multiply<V, rows, blocks, few_rows, few_blocks>,                       \
                                    winograd::multiply_gradient<V, grad_rows, grad_blocks>};

}  // namespace fovea
