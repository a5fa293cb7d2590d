// The transforms of Winograd's filters along one axis: F(m, r) for m outputs of r taps, at the points of winograd.h.
#pragma once
#include "simd/macros.h"

namespace fovea {
namespace winograd {

// even ± p·odd: the rows of a transform for ±p differ in the sign of their odd half.
template <class V>
FOVEA_INLINE void pair(V p, V odd, V even, V* plus, V* minus) {
  *plus = fma(p, odd, even);
  *minus = fma(V::zero() - p, odd, even);
}

// A filter has kPoints of the kGrid points of its axis, the i-th of them in place(i).
template <int n>
struct AllPoints {
  static constexpr int kPoints = n, kGrid = n;
  static constexpr int place(int i) { return i; }
};

// F(2, 3) at the points 0, 1, -1, ∞.
template <class V>
struct Two : AllPoints<4> {
  static constexpr int kOutputs = 2, kTaps = 3;

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
struct Four : AllPoints<6> {
  static constexpr int kOutputs = 4, kTaps = 3;
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

// F(2, 3) at the points 0, ±a, ∞ of F(4, 3), for its U: rows of Bᵀ times (p - b)(p + b).
template <class V>
struct ShortTwo {
  using Whole = Four<V>;
  static constexpr int kOutputs = 2, kTaps = 3, kPoints = 4, kGrid = Whole::kGrid;
  static constexpr float a = Whole::a, aa = Whole::aa, bb = Whole::bb;
  static constexpr int place(int i) { return i < 3 ? i : 5; }

  static FOVEA_INLINE void input(const V (&d)[4], V (&v)[4]) {
    v[0] = fma(V::splat(aa * bb), d[0], V::splat(-bb) * d[2]);
    pair<V>(V::splat(a * (aa - bb)), d[1], V::splat(aa - bb) * d[2], &v[1], &v[2]);
    v[3] = fma(V::splat(-aa), d[1], d[3]);
  }
  static FOVEA_INLINE void output(const V (&p)[4], V (&y)[2]) {
    y[0] = p[0] + (p[1] + p[2]);
    y[1] = fma(V::splat(a), p[1] - p[2], p[3]);
  }
  static FOVEA_INLINE void output_transposed(const V (&y)[2], V (&p)[4]) {
    p[0] = y[0];
    pair<V>(V::splat(a), y[1], y[0], &p[1], &p[2]);
    p[3] = y[1];
  }
};

// F(3, 3) at the points ±a, ±b, ∞ of F(4, 3), for its U: rows of Bᵀ times p.
template <class V>
struct ShortThree {
  using Whole = Four<V>;
  static constexpr int kOutputs = 3, kTaps = 3, kPoints = 5, kGrid = Whole::kGrid;
  static constexpr float a = Whole::a, b = Whole::b, aa = Whole::aa, bb = Whole::bb;
  static constexpr int place(int i) { return i + 1; }

  static FOVEA_INLINE void input(const V (&d)[5], V (&v)[5]) {
    const V a2 = V::splat(-aa), b2 = V::splat(-bb);
    pair<V>(V::splat(a), fma(b2, d[1], d[3]), V::splat(aa) * fma(b2, d[0], d[2]), &v[0], &v[1]);
    pair<V>(V::splat(b), fma(a2, d[1], d[3]), V::splat(bb) * fma(a2, d[0], d[2]), &v[2], &v[3]);
    v[4] = fma(V::splat(aa * bb), d[0], fma(V::splat(-(aa + bb)), d[2], d[4]));
  }
  static FOVEA_INLINE void output(const V (&p)[5], V (&y)[3]) {
    const V even_a = p[0] + p[1], odd_a = p[0] - p[1], even_b = p[2] + p[3], odd_b = p[2] - p[3];
    y[0] = even_a + even_b;
    y[1] = fma(V::splat(a), odd_a, V::splat(b) * odd_b);
    y[2] = fma(V::splat(aa), even_a, fma(V::splat(bb), even_b, p[4]));
  }
  static FOVEA_INLINE void output_transposed(const V (&y)[3], V (&p)[5]) {
    pair<V>(V::splat(a), y[1], fma(V::splat(aa), y[2], y[0]), &p[0], &p[1]);
    pair<V>(V::splat(b), y[1], fma(V::splat(bb), y[2], y[0]), &p[2], &p[3]);
    p[4] = y[2];
  }
};

// F(2, 5) at the same points: Bᵀ does not depend on how many are taps and how many outputs. Not for the gradient of the
// weight, whose sums over 4 products a tile would be beyond the contract (6.6e-7 of 6.7e-7 over 200 tiles).
template <class V>
struct TwoOfFive : AllPoints<6> {
  using Points = Four<V>;
  static constexpr int kOutputs = 2, kTaps = 5;
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
struct FourOfTwo : AllPoints<5> {
  static constexpr int kOutputs = 4, kTaps = 2;
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

// F(2, 2) at the points ±a, ∞ of F(4, 2), for its U: rows of Bᵀ times (p - b)(p + b).
template <class V>
struct ShortTwoOfTwo {
  using Whole = FourOfTwo<V>;
  static constexpr int kOutputs = 2, kTaps = 2, kPoints = 3, kGrid = Whole::kGrid;
  static constexpr float a = Whole::a, aa = Whole::aa, bb = Whole::bb;
  static constexpr int place(int i) { return i < 2 ? i : 4; }

  static FOVEA_INLINE void input(const V (&d)[3], V (&v)[3]) {
    pair<V>(V::splat(a * (aa - bb)), d[0], V::splat(aa - bb) * d[1], &v[0], &v[1]);
    v[2] = fma(V::splat(-aa), d[0], d[2]);
  }
  static FOVEA_INLINE void output(const V (&p)[3], V (&y)[2]) {
    y[0] = p[0] + p[1];
    y[1] = fma(V::splat(a), p[0] - p[1], p[2]);
  }
  static FOVEA_INLINE void output_transposed(const V (&y)[2], V (&p)[3]) {
    pair<V>(V::splat(a), y[1], y[0], &p[0], &p[1]);
    p[2] = y[1];
  }
};

// F(3, 2) at the points -a, ±b, ∞ of F(4, 2), for its U: rows of Bᵀ times p - a.
template <class V>
struct ShortThreeOfTwo {
  using Whole = FourOfTwo<V>;
  static constexpr int kOutputs = 3, kTaps = 2, kPoints = 4, kGrid = Whole::kGrid;
  static constexpr float a = Whole::a, b = Whole::b, aa = Whole::aa, bb = Whole::bb;
  static constexpr int place(int i) { return i + 1; }

  static FOVEA_INLINE void input(const V (&d)[4], V (&v)[4]) {
    const V a1 = V::splat(a), b1 = V::splat(b), b2 = V::splat(-bb);
    const V square = fma(b2, d[0], d[2]), odd = fma(a1, d[0], d[1]), even = fma(a1, d[1], d[2]);
    v[0] = V::splat(-2 * a) * square;
    v[1] = V::splat(b - a) * fma(b1, odd, even);
    v[2] = V::splat(b + a) * fma(b1, odd, V::zero() - even);
    v[3] = fma(a1, square, fma(b2, d[1], d[3]));
  }
  static FOVEA_INLINE void output(const V (&p)[4], V (&y)[3]) {
    const V even = p[1] + p[2], odd = p[1] - p[2];
    y[0] = p[0] + even;
    y[1] = fma(V::splat(-a), p[0], V::splat(b) * odd);
    y[2] = fma(V::splat(aa), p[0], fma(V::splat(bb), even, p[3]));
  }
  static FOVEA_INLINE void output_transposed(const V (&y)[3], V (&p)[4]) {
    p[0] = fma(V::splat(-a), y[1], fma(V::splat(aa), y[2], y[0]));
    pair<V>(V::splat(b), y[1], fma(V::splat(bb), y[2], y[0]), &p[1], &p[2]);
    p[3] = y[2];
  }
};

// F(m, 1), of F(4, 1): there is nothing to save.
template <class V, int m>
struct OfOne {
  static constexpr int kOutputs = m, kTaps = 1, kPoints = m, kGrid = 4;
  static constexpr int place(int i) { return i; }

  static FOVEA_INLINE void copy(const V (&from)[m], V (&to)[m]) {
    UNROLL for (int i = 0; i < m; ++i)
      to[i] = from[i];
  }
  static FOVEA_INLINE void input(const V (&d)[m], V (&v)[m]) { copy(d, v); }
  static FOVEA_INLINE void weight(const V (&g)[1], V (&u)[m]) {
    UNROLL for (int i = 0; i < m; ++i)
      u[i] = g[0];
  }
  static FOVEA_INLINE void output(const V (&p)[m], V (&y)[m]) { copy(p, y); }
  static FOVEA_INLINE void output_transposed(const V (&y)[m], V (&p)[m]) { copy(y, p); }
  static FOVEA_INLINE void weight_transposed(const V (&u)[4], V (&g)[1]) { g[0] = (u[0] + u[1]) + (u[2] + u[3]); }
};

}  // namespace winograd
}  // namespace fovea
