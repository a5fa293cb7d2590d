// The one template behind depthwise.h.
#pragma once
#include <stdint.h>

#include <utility>

#include "kernels/depthwise/depthwise.h"
#include "simd/macros.h"

namespace fovea {
namespace depthwise {

// As many neighbouring lanes as a group of G channels needs, at least a vector.
template <class V, int G>
struct Slice {
  static constexpr int kParts = G > V::kLanes ? G / V::kLanes : 1, kWidth = kParts * V::kLanes;
  V part[kParts];

  static FOVEA_INLINE Slice zero() {
    Slice s;
    UNROLL for (int i = 0; i < kParts; ++i)
      s.part[i] = V::zero();
    return s;
  }
  template <class T>
  static FOVEA_INLINE Slice load(const T* p) {
    Slice s;
    UNROLL for (int i = 0; i < kParts; ++i)
      s.part[i] = V::load(p + i * V::kLanes);
    return s;
  }
  template <class T>
  FOVEA_INLINE void store(T* p) const {
    UNROLL for (int i = 0; i < kParts; ++i)
      part[i].store(p + i * V::kLanes);
  }
  FOVEA_INLINE void add(const Slice& other) {
    UNROLL for (int i = 0; i < kParts; ++i)
      part[i] = part[i] + other.part[i];
  }
  template <class Operand>
  FOVEA_INLINE void add_product(const Operand& a, const Operand& b) {
    UNROLL for (int i = 0; i < kParts; ++i)
      part[i] = fma(a.part[i], b.part[i], part[i]);
  }
  FOVEA_INLINE void relu() {
    UNROLL for (int i = 0; i < kParts; ++i)
      part[i] = max(V::zero(), part[i]);
  }
  // Lane l takes lane l ^ kBit.
  template <int kBit>
  FOVEA_INLINE Slice swapped() const {
    Slice s;
    UNROLL for (int i = 0; i < kParts; ++i) {
      if constexpr (kBit < V::kLanes)
        s.part[i] = part[i].template swapped<kBit>();
      else
        s.part[i] = part[i ^ (kBit / V::kLanes)];
    }
    return s;
  }
};

// sums[0] becomes the sum over q of sums[q], each with its lanes l ^ q in the places l.
template <int G, int kBit = 1, class S>
FOVEA_INLINE void gather(S* sums) {
  if constexpr (kBit < G) {
    UNROLL for (int q = 0; q < G; q += 2 * kBit)
      sums[q].add(sums[q + kBit].template swapped<kBit>());
    gather<G, 2 * kBit>(sums);
  }
}

// copies[q] becomes copies[0] with its lanes l ^ q in the places l.
template <int G, int kBit = 1, class S>
FOVEA_INLINE void scatter(S* copies) {
  if constexpr (kBit < G) {
    UNROLL for (int q = 0; q < kBit; ++q)
      copies[q + kBit] = copies[q].template swapped<kBit>();
    scatter<G, 2 * kBit>(copies);
  }
}

FOVEA_INLINE void fetch(DepthwiseAhead& ahead, ptrdiff_t pixels) {
  const char* const end = ahead.at + ahead.bytes * pixels;
  for (; ahead.at < end && ahead.at < ahead.end; ahead.at += 64) ask_to_read(ahead.at);
}
FOVEA_INLINE DepthwiseAhead moved(DepthwiseAhead ahead, ptrdiff_t bytes) {
  return {ahead.at + bytes, ahead.end + bytes, ahead.bytes};
}

// `sums` of R rows of M pixels plus one tap of each. kStep: x_step as far as it is known here, so that one address
// serves a row; else 0.
template <int G, int kStep, int R, int M, class S, class T>
FOVEA_INLINE void add_one_tap(const DepthwiseCallOf<T>& call, const DepthwiseTap& tap, ptrdiff_t lane, const T* x,
                              S (*sums)[G]) {
  const ptrdiff_t step = kStep != 0 ? kStep : call.x_step;
  const float* const weight = call.weight + tap.at + lane;
  S operand[R * M];
  UNROLL for (int r = 0; r < R; ++r) {
    const T* const row = kept(x + tap.x + r * call.x_row);
    UNROLL for (int i = 0; i < M; ++i)
      operand[r * M + i] = S::load(row + i * step);
  }
  UNROLL for (int q = 0; q < G; ++q) {
    const S w = S::load(weight + 16 * q);
    UNROLL for (int i = 0; i < R * M; ++i)
      sums[i][q].add_product(operand[i], w);
  }
}

// `sums` of R rows of M pixels plus kRun neighbouring taps of each, every pixel loaded once.
template <int G, int kStep, int R, int M, int kRun, class S, class T>
FOVEA_INLINE void add_taps(const DepthwiseCallOf<T>& call, const DepthwiseTap* taps, ptrdiff_t lane, const T* x,
                           S (*sums)[G]) {
  constexpr int kPixels = kStep / 16;
  S weight[kRun][G];
  UNROLL for (int t = 0; t < kRun; ++t) {
    UNROLL for (int q = 0; q < G; ++q)
      weight[t][q] = S::load(call.weight + taps[t].at + lane + 16 * q);
  }
  UNROLL for (int r = 0; r < R; ++r) {
    const T* const row = kept(x + taps->x + r * call.x_row);
    UNROLL for (int j = 0; j < (M - 1) * kPixels + kRun; ++j) {
      const S operand = S::load(row + 16 * j);
      UNROLL for (int t = 0; t < kRun; ++t) {
        const int i = (j - t) / kPixels;
        if (j < t || (j - t) % kPixels != 0 || i >= M) continue;
        UNROLL for (int q = 0; q < G; ++q)
          sums[r * M + i][q].add_product(operand, weight[t][q]);
      }
    }
  }
}

// How many neighbouring taps share the loads of their pixels, of calls whose rows begin with `run` of them: as far as
// there are registers for the weights, 14 sums, 7 weights and a pixel of 32, or 10, 3 and one of 16. Pixels that are
// widened as they are loaded are worth loading once only; of others from five taps on, whose loads would take the ports
// as long as their products.
template <class V, class T, int G, int kStep>
constexpr int taps_at_once(int run) {
  if (kStep == 0 || G > 2) return 1;
  if (V::kLanes < 16) return G == 1 && sizeof(T) == 2 ? 3 : 1;
  if (G == 1 && run >= 5) return run >= 7 ? 7 : 5;
  return sizeof(T) == 2 ? 3 : 1;
}

// R rows of M pixels at once: R * M * G independent sums hide the latency of a multiply-add, and share each load of the
// weight.
// A slice that is one vector, as that.
template <class V>
FOVEA_INLINE const V& vector_of(const V& v) {
  return v;
}
template <class V, int G>
FOVEA_INLINE const V& vector_of(const Slice<V, G>& slice) {
  return slice.part[0];
}

// R rows of M pixels, `step` apart: sum(r, i), a vector or a slice. Only whole lines of memory go past the caches.
template <class V, int R, int M, class T, class Sum>
FOVEA_INLINE void store_rows(const DepthwiseCallOf<T>& call, ptrdiff_t step, T* y, Sum&& sum) {
  if constexpr (sizeof(T) * V::kLanes == 64) {
    if (call.past_caches && reinterpret_cast<uintptr_t>(y) % 64 == 0) {
      UNROLL for (int r = 0; r < R; ++r) {
        UNROLL for (int i = 0; i < M; ++i)
          vector_of(sum(r, i)).store_past_caches(y + r * call.y_row + i * step);
      }
      return;
    }
  }
  UNROLL for (int r = 0; r < R; ++r) {
    UNROLL for (int i = 0; i < M; ++i)
      sum(r, i).store(y + r * call.y_row + i * step);
  }
}

template <class V, class T, int G, int kStep, int kTaps, int R, int M>
void pixels(const DepthwiseCallOf<T>& call, ptrdiff_t lane, const T* x, T* y) {
  using S = Slice<V, G>;
  S sums[R * M][G];
  UNROLL for (int i = 0; i < R * M; ++i) {
    UNROLL for (int q = 0; q < G; ++q)
      sums[i][q] = S::zero();
  }
  fetch(*call.x_ahead, R * M);
  fetch(*call.y_ahead, R * M);
  for (const DepthwiseTap *tap = call.taps, *end = tap + call.tap_count; tap != end;) {
    if constexpr (kTaps > 1) {
      if (tap->run >= kTaps) {
        add_taps<G, kStep, R, M, kTaps>(call, tap, lane, x, sums);
        tap += kTaps;
        continue;
      }
    }
    add_one_tap<G, kStep, R, M>(call, *tap++, lane, x, sums);
  }
  UNROLL for (int i = 0; i < R * M; ++i)
    gather<G>(sums[i]);
  if (call.bias) {
    const S bias = S::load(call.bias + lane);
    UNROLL for (int i = 0; i < R * M; ++i)
      sums[i][0].add(bias);
  }
  if (call.relu) {
    UNROLL for (int i = 0; i < R * M; ++i)
      sums[i][0].relu();
  }
  store_rows<V, R, M>(call, call.y_step, y, [&](int r, int i) -> const S& { return sums[r * M + i][0]; });
}

// M * G sums, M pixels unless they are used but once, and a weight: 24 + 6 + 1 of 32 registers, 8 + 4 + 1 of 16. A step
// that is not known costs an address for each pixel.
template <class V, int G, int kStep>
constexpr int pixels_at_once() {
  constexpr int most = V::kLanes == 16 ? (G == 1 ? 14 : G == 2 ? 10 : G == 4 ? 6 : 3) : G == 1 ? 10 : 8 / G;
  return kStep == 0 && most > 6 ? 6 : most;
}

constexpr int kMostRows = 3;

// Rows of M pixels at once: those of short rows alone would not hide latencies.
template <class V, int G, int kStep, int M>
constexpr int rows_at_once() {
  constexpr int fitting = pixels_at_once<V, G, 16>() / M;
  return G > 1 || kStep == 0 ? 1 : fitting < kMostRows ? fitting : kMostRows;
}

template <class T>
using Tile = void (*)(const DepthwiseCallOf<T>& call, ptrdiff_t lane, const T* x, T* y);
// Tiles of so many pixels a row: of 1 row, of 2, …
template <class T>
struct Tiles {
  int rows;
  Tile<T> of[kMostRows];
};
template <class V, class T, int G, int kStep, int kTaps, int M, int... R>
constexpr Tiles<T> tiles(std::integer_sequence<int, R...>) {
  return {sizeof...(R), {pixels<V, T, G, kStep, kTaps, R + 1, M>...}};
}

// Of the rows that are left those that a tile takes, if it takes `most`: the last two are of nearly equal height.
FOVEA_INLINE ptrdiff_t next_height(ptrdiff_t left, ptrdiff_t most) {
  if (left > most) left = left >= 2 * most ? most : (left + 1) / 2;
  return left;
}

// Every row in tiles of nearly equal length, several rows at once where they are short.
template <class V, int G, int kStep, int kTaps, class T, int... M>
FOVEA_INLINE void rows(const DepthwiseCallOf<T>& call, ptrdiff_t lane, std::integer_sequence<int, M...>) {
  static constexpr Tiles<T> table[] = {
      tiles<V, T, G, kStep, kTaps, M + 1>(std::make_integer_sequence<int, rows_at_once<V, G, kStep, M + 1>()>())...};
  constexpr ptrdiff_t kMost = sizeof...(M);
  // Most calls of small maps are one tile or two: divisions would take as long as their sums.
  const ptrdiff_t across = call.count <= kMost ? 1 : (call.count + kMost - 1) / kMost;
  const ptrdiff_t low = across == 1 ? call.count : call.count / across, longer = call.count - low * across;
  const ptrdiff_t most = table[low - (longer == 0)].rows;
  for (ptrdiff_t first = 0, height; first < call.rows; first += height) {
    height = next_height(call.rows - first, most);
    const T* x = call.x + first * call.x_row + lane;
    T* y = call.y + first * call.y_row + lane;
    for (ptrdiff_t tile = 0; tile < across; ++tile) {
      const ptrdiff_t length = low + (tile < longer);
      table[length - 1].of[height - 1](call, lane, x, y);
      x += length * call.x_step;
      y += length * call.y_step;
    }
  }
}

template <class V, int G, int kStep, int kTaps, class T>
void planes_of_runs(const DepthwiseCallOf<T>& call, ptrdiff_t lane) {
  DepthwiseCallOf<T> plane = call;
  for (ptrdiff_t n = 0; n < call.planes; ++n) {
    rows<V, G, kStep, kTaps>(plane, lane, std::make_integer_sequence<int, pixels_at_once<V, G, kStep>()>());
    plane.x += call.x_plane;
    plane.y += call.y_plane;
    plane.weight += call.weight_plane;
    if (plane.bias) plane.bias += 16;
  }
}

// A tile knows one length of runs: where it knew several, GCC kept fewer sums in registers, and 3×3 took 1.14 times as
// long.
template <class V, int G, int kStep, class T>
FOVEA_INLINE void planes(const DepthwiseCallOf<T>& call, ptrdiff_t lane) {
  constexpr int k1 = taps_at_once<V, T, G, kStep>(1), k5 = taps_at_once<V, T, G, kStep>(5);
  constexpr int k7 = taps_at_once<V, T, G, kStep>(7);
  const int run = call.tap_count > 0 ? call.taps[0].run : 1;
  if (k7 != k5 && run >= 7) return planes_of_runs<V, G, kStep, k7>(call, lane);
  if (k5 != k1 && run >= 5) return planes_of_runs<V, G, kStep, k5>(call, lane);
  planes_of_runs<V, G, kStep, k1>(call, lane);
}

template <class V, int G, class T>
void forward(const DepthwiseCallOf<T>& call) {
  for (ptrdiff_t lane = 0; lane < 16; lane += Slice<V, G>::kWidth) {
    if (call.x_step == 16)
      planes<V, G, 16>(call, lane);
    else if (call.x_step == 32)
      planes<V, G, 32>(call, lane);
    else
      planes<V, G, 0>(call, lane);
  }
}

// How the weight gradient takes the pixels of operands whose values are multiplied as float32: one by one.
template <class V, class T = float>
struct Singly {
  using Element = T;
  using Vector = V;
  static constexpr int kPixels = 1;  // of a vector
  // Those from p on, `step` elements apart; kDense: where they are neighbours.
  template <bool kDense>
  static FOVEA_INLINE V load(const T* p, ptrdiff_t /*step*/) {
    return V::load(p);
  }
  // Only the first of them.
  static FOVEA_INLINE V load_one(const T* p) { return V::load(p); }
  static FOVEA_INLINE V ones() { return V::splat(1); }
};

// The lanes of a group in the vectors of operand `Pixels`: as many pixels as a vector takes, or the first alone.
template <class Pixels, int G, bool kDense, bool kOne>
FOVEA_INLINE Slice<typename Pixels::Vector, G> load_pixels(const typename Pixels::Element* p, ptrdiff_t step) {
  using V = typename Pixels::Vector;
  Slice<V, G> s;
  UNROLL for (int i = 0; i < Slice<V, G>::kParts; ++i) {
    if constexpr (kOne)
      s.part[i] = Pixels::load_one(p + i * V::kLanes);
    else
      s.part[i] = Pixels::template load<kDense>(p + i * V::kLanes, step);
  }
  return s;
}

// T taps at once share the loads of dy. kBias: and the sum of dy itself.
template <class V, class Pixels, int G, bool kDense, int T, bool kBias>
struct Taps {
  using Element = typename Pixels::Element;
  using Operand = Slice<typename Pixels::Vector, G>;
  Slice<V, G> sums[T + 1][G], total;  // one more than is used: T may be 0
  ptrdiff_t offset[T + 1], x_step;

  template <bool kOne>
  FOVEA_INLINE void add(const Element* x, const Element* dy) {
    Operand copies[G];
    copies[0] = load_pixels<Pixels, G, true, kOne>(dy, 16);
    if (kBias) {
      UNROLL for (int i = 0; i < Operand::kParts; ++i)
        total.part[i] = fma(copies[0].part[i], Pixels::ones(), total.part[i]);
    }
    scatter<G>(copies);
    UNROLL for (int t = 0; t < T; ++t) {
      const Operand a = load_pixels<Pixels, G, kDense, kOne>(x + offset[t], x_step);
      UNROLL for (int q = 0; q < G; ++q)
        sums[t][q].add_product(a, copies[q]);
    }
  }
};

// Steps between two looks at what is to be asked for: with each step they took as long as nine products, and memory
// does not take much more at a time (Zen 5).
constexpr ptrdiff_t kAskedAtOnce = 4;

template <class V, class Pixels, int G, bool kDense, int T, bool kBias>
void taps(const DepthwiseGradCallOf<typename Pixels::Element>& call, ptrdiff_t lane) {
  using S = Slice<V, G>;
  using Element = typename Pixels::Element;
  Taps<V, Pixels, G, kDense, T, kBias> all;
  all.total = S::zero();
  all.x_step = call.x_step;
  UNROLL for (int t = 0; t < T; ++t) {
    all.offset[t] = call.taps[t].x + lane;
    UNROLL for (int q = 0; q < G; ++q)
      all.sums[t][q] = S::zero();
  }
  constexpr ptrdiff_t kBytes = sizeof(Element), kPixels = Pixels::kPixels;
  const ptrdiff_t whole = call.count / kPixels;
  for (ptrdiff_t n = 0; n < call.images; ++n) {
    DepthwiseAhead x_ahead = moved(call.x_ahead, n * call.x_image * kBytes);
    DepthwiseAhead dy_ahead = moved(call.dy_ahead, n * call.dy_image * kBytes);
    for (ptrdiff_t r = 0; r < call.rows; ++r) {
      const Element* x = call.x + n * call.x_image + r * call.x_row;
      const Element* dy = call.dy + n * call.dy_image + r * call.dy_row + lane;
      for (ptrdiff_t steps = whole, some; steps > 0; steps -= some) {
        some = steps < kAskedAtOnce ? steps : kAskedAtOnce;
        fetch(x_ahead, some * kPixels);
        fetch(dy_ahead, some * kPixels);
        for (const Element* const end = dy + 16 * kPixels * some; dy != end;
             dy += 16 * kPixels, x += kPixels * call.x_step)
          all.template add<false>(x, dy);
      }
      if (call.count % kPixels != 0) all.template add<true>(x, dy);
    }
  }
  UNROLL for (int t = 0; t < T; ++t) {
    UNROLL for (int q = 0; q < G; ++q) {
      float* out = call.sums + call.taps[t].at + 16 * q + lane;
      all.sums[t][q].add(S::load(out));
      all.sums[t][q].store(out);
    }
  }
  if (kBias) {
    all.total.add(S::load(call.bias + lane));
    all.total.store(call.bias + lane);
  }
}

// T * G sums, G copies of dy and the sum of dy: at most 24 + 4 + 1 of 32 registers, 12 + 1 + 1 or 8 + 4 + 1 of 16. All
// of 3x3 taps are one pass over dy.
template <class V, int G>
constexpr int kTapsAtOnce = V::kLanes == 16 ? (G == 1   ? 13
                                               : G == 2 ? 9
                                               : G == 4 ? 6
                                                        : 2)
                                            : (G == 1   ? 12
                                               : G <= 4 ? 8 / G
                                                        : 1);

template <class V, class Pixels, int G, bool kDense, bool kBias, class Call, int... T>
FOVEA_INLINE void some_taps(const Call& call, ptrdiff_t lane, std::integer_sequence<int, T...>) {
  using Some = void (*)(const Call&, ptrdiff_t);
  static constexpr Some table[] = {taps<V, Pixels, G, kDense, T, kBias>...};
  table[call.tap_count](call, lane);
}

template <class V, class Pixels, int G, bool kDense>
void all_taps(const DepthwiseGradCallOf<typename Pixels::Element>& call) {
  using Counts = std::make_integer_sequence<int, kTapsAtOnce<V, G> + 1>;
  const ptrdiff_t parts = call.tap_count == 0 ? 1 : (call.tap_count + kTapsAtOnce<V, G> - 1) / kTapsAtOnce<V, G>;
  for (ptrdiff_t lane = 0; lane < 16; lane += Slice<V, G>::kWidth) {
    DepthwiseGradCallOf<typename Pixels::Element> part = call;
    for (ptrdiff_t i = 0; i < parts; ++i) {
      const ptrdiff_t first = call.tap_count * i / parts;
      part.taps = call.taps + first;
      part.tap_count = call.tap_count * (i + 1) / parts - first;
      if (i == 0 && call.bias)
        some_taps<V, Pixels, G, kDense, true>(part, lane, Counts());
      else
        some_taps<V, Pixels, G, kDense, false>(part, lane, Counts());
    }
  }
}

template <class V, class Pixels, int G>
void gradient(const DepthwiseGradCallOf<typename Pixels::Element>& call) {
  if (Pixels::kPixels == 1 || call.x_step == 16)
    all_taps<V, Pixels, G, true>(call);
  else
    all_taps<V, Pixels, G, Pixels::kPixels == 1>(call);
}

}  // namespace depthwise
}  // namespace fovea
