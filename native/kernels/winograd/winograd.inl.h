// The template behind every row of kernels.inc: the filters of one axis applied along both, and pixels in and out.
// winograd.h says what the transforms do.
#pragma once
#include <type_traits>

#include "kernels/winograd/filters.inl.h"
#include "kernels/winograd/products.inl.h"
#include "kernels/winograd/winograd.h"
#include "simd/macros.h"

namespace fovea {
namespace winograd {

// The phases of an axis, one for each step of the stride: phase a has the taps a, a + stride, … of the filter.
template <class... Phases>
struct Axis;
template <class First>
struct Axis<First> {
  static constexpr int kStride = 1, kOutputs = First::kOutputs, kPoints = First::kGrid, kInputs = First::kPoints;
  static constexpr int kTaps = First::kTaps;
  template <int a>
  using Phase = First;
};
template <class First, class Second>
struct Axis<First, Second> {
  static constexpr int kStride = 2, kOutputs = First::kOutputs, kPoints = First::kGrid + Second::kGrid;
  static constexpr int kInputs = First::kPoints;  // of the longest phase
  static constexpr int kTaps = First::kTaps + Second::kTaps;
  template <int a>
  using Phase = std::conditional_t<a == 0, First, Second>;
};
template <class V>
using Strided = Axis<FourOfTwo<V>, OfOne<V, 4>>;  // of 3 taps

// Point i of phase a among all of the axis.
template <class A>
constexpr int point(int a, int i) {
  using First = typename A::template Phase<0>;
  using Last = typename A::template Phase<A::kStride - 1>;
  return a == 0 ? First::place(i) : First::kGrid + Last::place(i);
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

// A transform along both axes, those of rows R and of columns C, columns first, for each phase a of the rows and b of
// the columns: at(a, i, b, j) gives the element (i, j) of what is transformed, put(a, i, b, j, value) takes that of the
// result.
template <class V, class R, class C, template <class> class Map, int a = 0, int b = 0, class At, class Put>
FOVEA_INLINE void both_axes(At&& at, Put&& put) {
  using Rows = Map<typename R::template Phase<a>>;
  using Columns = Map<typename C::template Phase<b>>;
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
  if constexpr (b + 1 < C::kStride) {
    both_axes<V, R, C, Map, a, b + 1>(at, put);
  } else if constexpr (a + 1 < R::kStride) {
    both_axes<V, R, C, Map, a + 1, 0>(at, put);
  }
}

// Which pixels of a tile exist, and where. A branch for each costs nothing that shows: the same ones recur with each
// row of tiles, and a copy of the tile with its zeros would take as long as the transform.
struct Cut {
  const WinogradWindow& window;
  WinogradPitch pitch;
  ptrdiff_t corner;

  FOVEA_INLINE Cut(const WinogradWindow& w, WinogradPitch p)
      : window(w), pitch(p), corner(w.offset - w.row * p.row - w.column * p.pixel) {}
  FOVEA_INLINE bool exists(int i, int j) const {
    return i >= window.row && i < window.row_end && j >= window.column && j < window.column_end;
  }
  FOVEA_INLINE ptrdiff_t at(int i, int j) const { return corner + i * pitch.row + j * pitch.pixel; }
};

constexpr int kTilesAhead = 3;

enum class Ask { kRead, kWrite };

// Asks for the pixels of a tile before its turn: what caches fetch by themselves ends with each short row, and they do
// not fetch what is only written.
template <int kRows, int kColumns, Ask kFor = Ask::kRead, class T>
FOVEA_INLINE void ask(const T* tile, WinogradPitch pitch) {
  constexpr int kLine = 64 / (16 * sizeof(T));  // pixels, without dilation
  UNROLL for (int i = 0; i < kRows; ++i) {
    UNROLL for (int j = 0; j < kColumns; j += kLine) {
      const T* const pixel = tile + i * pitch.row + j * pitch.pixel;
      kFor == Ask::kRead ? ask_to_read(pixel) : ask_to_write(pixel);
    }
  }
}

template <int kRows, int kColumns>
FOVEA_INLINE bool is_whole(const WinogradWindow& w) {
  return w.row == 0 && w.row_end == kRows && w.column == 0 && w.column_end == kColumns;
}

template <class R, class C>
constexpr int frequency(int a, int i, int b, int j) {
  return point<R>(a, i) * C::kPoints + point<C>(b, j);
}

// The frequencies of a tile as both_axes() asks for them. How far they are apart is known at run time only: GCC would
// keep all multiples of it on the stack, and load each anew.
template <class V, class R, class C>
struct Gather {
  const float* from;
  ptrdiff_t step;
  const float* line = nullptr;

  FOVEA_INLINE V operator()(int a, int i, int b, int j) {
    const int rows = i == 0 ? 0 : point<R>(a, i) - point<R>(a, i - 1);
    line = kept(i == 0 ? from + frequency<R, C>(a, 0, b, j) * step : line + rows * C::kPoints * step);
    return V::load(line);
  }
};
template <class V, class R, class C>
struct Scatter {
  float* to;
  ptrdiff_t step;
  float* line = nullptr;

  FOVEA_INLINE void operator()(int a, int i, int b, int j, V value) {
    const int columns = j == 0 ? 0 : point<C>(b, j) - point<C>(b, j - 1);
    line = kept(j == 0 ? to + frequency<R, C>(a, i, b, 0) * step : line + columns * step);
    value.store(line);
  }
};

// What WinogradPixels says of a kernel holds for `R` along the rows and `C` along the columns; kSpread: the input
// gradient of a convolution of that stride.
template <class V, class R, class C, bool kSpread>
struct Pixels {
  template <class A>
  static constexpr int kInputs = kSpread ? A::kInputs : A::kStride * (A::kInputs - 1) + 1;
  template <class A>
  static constexpr int kOutputs = kSpread ? A::kStride * A::kOutputs : A::kOutputs;
  // Input pixels that a tile has beside those of the one before it.
  template <class A>
  static constexpr int kNew = kSpread ? A::kOutputs : A::kStride * A::kOutputs;

  template <class A>
  static FOVEA_INLINE int source(int a, int i) {
    return kSpread ? i : tap<A>(a, i);
  }
  // The last phase of a gradient has the first pixels.
  template <class A>
  static FOVEA_INLINE int spread(int a, int i) {
    return tap<A>(A::kStride - 1 - a, i);
  }

  // T is how pixels lie in memory: float, or another form that V can load and store.
  template <class T>
  static void input(const T* x, WinogradPitch pitch, const WinogradWindow* windows, int count, int known, float* v,
                    ptrdiff_t v_step) {
    constexpr int kRows = kInputs<R>, kColumns = kInputs<C>;
    const ptrdiff_t shared = (kRows - kNew<R>)*pitch.row + (kColumns - kNew<C>)*pitch.pixel;
    // A few tiles come again and again, with another block of channels each time, before the ones after them.
    const int ahead = count < kTilesAhead ? count : kTilesAhead;
    for (int t = 0; t < count; ++t, v += 16) {
      if (t + ahead < known) {
        const WinogradWindow& next = windows[t + ahead];
        is_whole<kRows, kColumns>(next) ? ask<kNew<R>, kNew<C>>(x + next.offset + shared, pitch)
                                        : ask<kRows, kColumns>(x + next.offset, pitch);
      }
      const Cut cut(windows[t], pitch);
      for (int lane = 0; lane < 16; lane += V::kLanes) {
        both_axes<V, R, C, Input>(
            [&](int a, int i, int b, int j) {
              const int row = source<R>(a, i), column = source<C>(b, j);
              return cut.exists(row, column) ? V::load(x + lane + cut.at(row, column)) : V::zero();
            },
            Scatter<V, R, C>{v + lane, v_step});
      }
    }
  }

  template <class T>
  static bool output(const float* product, ptrdiff_t step, const float* bias, bool relu, int lanes,
                     const WinogradTarget* targets, int count, T* y, WinogradPitch pitch) {
    constexpr int kRows = kOutputs<R>, kColumns = kOutputs<C>;
    const V floor = V::splat(relu ? 0 : -__builtin_inff());
    V poison = V::zero();  // 0 times a value that is not finite is NaN
    for (int t = 0; t < count; ++t, product += 16) {
      if (t + kTilesAhead < count) ask<kRows, kColumns, Ask::kWrite>(y + targets[t + kTilesAhead].offset, pitch);
      const Cut cut(targets[t], pitch);
      for (int lane = 0; lane < 16; lane += V::kLanes) {
        const V shift = bias ? V::load(bias + lane) : V::zero();
        const auto exist = V::first_lanes(lanes - lane);
        const auto finish = [&](int i, int j, V sum) {
          poison = fma(sum, V::zero(), poison);
          const V value = select(exist, max(floor, sum + shift), V::zero());
          if (cut.exists(i, j)) value.store(y + lane + cut.at(i, j));
        };
        Gather<V, R, C> at{product + lane, step};
        if constexpr (kSpread) {
          both_axes<V, R, C, Output>(
              at, [&](int a, int i, int b, int j, V value) { finish(spread<R>(a, i), spread<C>(b, j), value); });
        } else {
          V sum[kRows][kColumns];
          both_axes<V, R, C, Output>(
              at, [&](int a, int i, int b, int j, V value) { sum[i][j] = a + b > 0 ? sum[i][j] + value : value; });
          UNROLL for (int i = 0; i < kRows; ++i) {
            UNROLL for (int j = 0; j < kColumns; ++j)
              finish(i, j, sum[i][j]);
          }
        }
      }
    }
    return bits(is_nan(poison)) == 0;
  }

  template <class T>
  static void output_gradient(const T* dy, WinogradPitch pitch, const WinogradTarget* targets, int count, float* u,
                              ptrdiff_t u_step, float* total) {
    constexpr int kRows = kOutputs<R>, kColumns = kOutputs<C>;
    V pixels[16 / V::kLanes];
    for (V& sum : pixels) sum = V::zero();
    for (int t = 0; t < count; ++t, u += 16) {
      if (t + kTilesAhead < count) ask<kRows, kColumns>(dy + targets[t + kTilesAhead].offset, pitch);
      const Cut cut(targets[t], pitch);
      for (int lane = 0; lane < 16; lane += V::kLanes) {
        V row[kRows];
        UNROLL for (int i = 0; i < kRows; ++i)
          row[i] = V::zero();
        both_axes<V, R, C, OutputTransposed>(
            [&](int a, int i, int b, int j) {
              const V value = cut.exists(i, j) ? V::load(dy + lane + cut.at(i, j)) : V::zero();
              if (a + b == 0) row[i] = row[i] + value;
              return value;
            },
            Scatter<V, R, C>{u + lane, u_step});
        V& sum = pixels[lane / V::kLanes];
        UNROLL for (int i = 0; i < kRows; ++i)
          sum = sum + row[i];
      }
    }
    for (int lane = 0; total && lane < 16; lane += V::kLanes)
      (V::load(total + lane) + pixels[lane / V::kLanes]).store(total + lane);
  }

  template <class T>
  static constexpr WinogradPixels<T> table() {
    if constexpr (!kSpread && R::kTaps == 3)
      return {input<T>, output<T>, output_gradient<T>};
    else
      return {input<T>, output<T>, nullptr};  // nobody needs the gradient of the weight
  }
};

// The same for the filters: weight() and weight_gradient() of WinogradTransforms.
template <class V, class A>
struct Filters {
  static constexpr int kFloats = 16 * A::kTaps * A::kTaps;

  static FOVEA_INLINE ptrdiff_t at(int a, int r, int b, int s) { return A::kTaps * tap<A>(a, r) + tap<A>(b, s); }

  static void weight(const float* w, ptrdiff_t tap_step, int count, float* u, ptrdiff_t u_row, ptrdiff_t u_step) {
    for (int i = 0; i < count; ++i, w += kFloats, u += u_row) {
      for (int lane = 0; lane < 16; lane += V::kLanes) {
        both_axes<V, A, A, Weight>(
            [&](int a, int r, int b, int s) { return V::load(w + lane + at(a, r, b, s) * tap_step); },
            Scatter<V, A, A>{u + lane, u_step});
      }
    }
  }

  static bool weight_gradient(const float* product, ptrdiff_t step, int count, float* dw, ptrdiff_t tap_step) {
    V poison = V::zero();
    for (int i = 0; i < count; ++i, product += 16, dw += kFloats) {
      for (int lane = 0; lane < 16; lane += V::kLanes) {
        both_axes<V, A, A, WeightTransposed>(Gather<V, A, A>{product + lane, step},
                                             [&](int a, int r, int b, int s, V value) {
                                               poison = fma(value, V::zero(), poison);
                                               value.store(dw + lane + at(a, r, b, s) * tap_step);
                                             });
      }
    }
    return bits(is_nan(poison)) == 0;
  }
};

// Which short tiles go with an axis, if any.
template <class A>
struct ShortOf {
  static constexpr bool kAny = false;
};
template <class V>
struct ShortOf<Axis<Four<V>>> {
  static constexpr bool kAny = true;
  using Two = Axis<ShortTwo<V>>;
  using Three = Axis<ShortThree<V>>;
};
template <class V>
struct ShortOf<Strided<V>> {
  static constexpr bool kAny = true;
  using Two = Axis<ShortTwoOfTwo<V>, OfOne<V, 2>>;
  using Three = Axis<ShortThreeOfTwo<V>, OfOne<V, 3>>;
};

template <class A, int a = 0>
constexpr unsigned points_of() {
  unsigned mask = 0;
  for (int i = 0; i < A::template Phase<a>::kPoints; ++i) mask |= 1u << point<A>(a, i);
  if constexpr (a + 1 < A::kStride) mask |= points_of<A, a + 1>();
  return mask;
}

template <class T, class V, class A, bool kSpread>
constexpr WinogradKinds<T> kinds() {
  constexpr WinogradPixels<T> whole = Pixels<V, A, A, kSpread>::template table<T>();
  if constexpr (ShortOf<A>::kAny) {
    using Two = typename ShortOf<A>::Two;
    using Three = typename ShortOf<A>::Three;
    return {
        {{Pixels<V, Two, A, kSpread>::template table<T>(), whole, Pixels<V, A, Two, kSpread>::template table<T>(),
          Pixels<V, Two, Two, kSpread>::template table<T>()},
         {Pixels<V, Three, A, kSpread>::template table<T>(), whole, Pixels<V, A, Three, kSpread>::template table<T>(),
          Pixels<V, Three, Three, kSpread>::template table<T>()}}};
  } else {
    return {{{{}, whole, {}, {}}, {{}, whole, {}, {}}}};
  }
}

template <class V, class A, bool kSpread = false>
constexpr WinogradTransforms transforms() {
  using Whole = Pixels<V, A, A, kSpread>;
  WinogradTransforms t{};
  t.m = Whole::template kOutputs<A>;
  t.n = Whole::template kInputs<A>;
  t.points = A::kPoints;
  t.pixels = kinds<float, V, A, kSpread>();
  t.weight = Filters<V, A>::weight;
  if constexpr (!kSpread && A::kTaps == 3) t.weight_gradient = Filters<V, A>::weight_gradient;
  if constexpr (ShortOf<A>::kAny) {
    t.short_points[0] = points_of<typename ShortOf<A>::Two>();
    t.short_points[1] = points_of<typename ShortOf<A>::Three>();
  }
  return t;
}

template <class V>
constexpr WinogradBf16Kernels bf16_instance() {
  return {kinds<Bfloat16, V, Axis<Two<V>>, false>(), kinds<Bfloat16, V, Axis<Four<V>>, false>(),
          kinds<Bfloat16, V, Axis<TwoOfFive<V>>, false>(), kinds<Bfloat16, V, Strided<V>, false>(),
          kinds<Bfloat16, V, Strided<V>, true>()};
}

}  // namespace winograd

// rows × 16·blocks sums, one row of U and one element of V must fit the registers; likewise for the gradient.
// few_rows × 16·few_blocks sums should fit twice, for what short sums add up to.
#define WINOGRAD_INSTANCE(name, V, rows, blocks, few_rows, few_blocks, grad_rows, grad_blocks, fused)  \
  extern const WinogradKernels name;                                                                   \
  constexpr WinogradKernels name = {#name,                                                             \
                                    rows,                                                              \
                                    blocks,                                                            \
                                    few_rows,                                                          \
                                    few_blocks,                                                        \
                                    grad_blocks,                                                       \
                                    fused,                                                             \
                                    winograd::transforms<V, winograd::Axis<winograd::Two<V>>>(),       \
                                    winograd::transforms<V, winograd::Axis<winograd::Four<V>>>(),      \
                                    winograd::transforms<V, winograd::Axis<winograd::TwoOfFive<V>>>(), \
                                    winograd::transforms<V, winograd::Strided<V>>(),                   \
                                    winograd::transforms<V, winograd::Strided<V>, true>(),             \
                                    winograd::multiply<V, rows, blocks, few_rows, few_blocks>,         \
                                    winograd::multiply_gradient<V, grad_rows, grad_blocks>};

}  // namespace fovea
