// The kernels of norm.h that look at a part of an image which a convolution has just written.
#pragma once
#include "kernels/norm/norm.h"
#include "simd/block16.h"

namespace fovea {
namespace norm {

using simd::Block;
using simd::load_bits;

// float32 sums are added to the double ones at least every so many pixels: the error stays that of short sums.
constexpr int64_t kPartRun = 128;

// How long before their turn pixels are asked for: what caches fetch by themselves ends with each page of memory.
constexpr int64_t kPixelsAhead = 24;

// visit(offset in pixels, pixels) for stretches of a part that lie side by side, at most kPartRun long.
template <class Visit>
FOVEA_INLINE void stretches(const NormPart& part, const Visit& visit) {
  for (int64_t row = 0; row < part.rows; ++row) {
    for (int64_t column = 0; column < part.columns; column += kPartRun) {
      const int64_t left = part.columns - column;
      visit(row * part.row_step + column, left < kPartRun ? left : kPartRun);
    }
  }
}

// Two sums of sixteen lanes, each as `kWays` that do not wait for each other.
template <class V, int kWays>
struct SumPair {
  Block<V> a[kWays], b[kWays];
  int64_t pixels = 0;

  FOVEA_INLINE void clear() {
    UNROLL for (int j = 0; j < kWays; ++j)
      a[j] = b[j] = Block<V>::zero();
    pixels = 0;
  }
  // Adds to the double sums what has come together, and starts again.
  FOVEA_INLINE void flush(double* sum_a, double* sum_b) {
    if (pixels == 0) return;
    UNROLL for (int j = 1; j < kWays; ++j)
      a[0] = a[0] + a[j], b[0] = b[0] + b[j];
    float s[16], p[16];
    a[0].store(s), b[0].store(p);
    for (int i = 0; i < 16; ++i) sum_a[i] += double(s[i]), sum_b[i] += double(p[i]);
    clear();
  }
};

// The mean of the first pixels of a part. With k of the n pixels that are summed about it, no set of numbers can lie
// further from it than sqrt(n / k) standard deviations: what the difference of sums cancels stays bounded.
template <class V, class T>
void choose_center(const T* y, const NormPart& part, float* center) {
  constexpr int64_t kMost = 64;
  Block<V> sum = Block<V>::zero();
  int64_t count = 0;
  for (int64_t row = 0; row < part.rows && count < kMost; ++row) {
    for (int64_t column = 0; column < part.columns && count < kMost; ++column, ++count)
      sum = sum + Block<V>::load(y + (row * part.row_step + column) * 16);
  }
  (sum * Block<V>::splat(1.0f / float(count))).store(center);
}

template <class V, class T>
void part_moments(const T* y, const NormPart& part, NormPartMoments* moments) {
  if (moments->count == 0) choose_center<V, T>(y, part, moments->center);
  const Block<V> center = Block<V>::load(moments->center);
  SumPair<V, 4> sums;
  sums.clear();
  const auto add = [&](const T* at, int j) {
    const Block<V> d = Block<V>::load(at) - center;
    sums.a[j] = sums.a[j] + d, sums.b[j] = fma(d, d, sums.b[j]);
  };
  stretches(part, [&](int64_t offset, int64_t pixels) {
    const T* at = y + offset * 16;
    int64_t i = 0;
    for (; i + 4 <= pixels; i += 4) {
      UNROLL for (int j = 0; j < 4; ++j)
        add(at + (i + j) * 16, j);
    }
    for (; i < pixels; ++i) add(at + i * 16, 0);
    if ((sums.pixels += pixels) >= kPartRun) sums.flush(moments->sum, moments->square);
  });
  sums.flush(moments->sum, moments->square);
  moments->count += double(part.rows * part.columns);
}

template <class V, class T>
void part_mask(const T* y, const NormPart& part, uint8_t* mask) {
  stretches(part, [&](int64_t offset, int64_t pixels) {
    for (int64_t i = offset; i < offset + pixels; ++i)
      store_bits(greater(Block<V>::load(y + i * 16), Block<V>::zero()), mask + 2 * i);
  });
}

template <class V, class T>
void part_add(const NormPart& part, const NormPartAdd<T>& call) {
  stretches(part, [&](int64_t offset, int64_t pixels) {
    for (int64_t i = offset; i < offset + pixels; ++i) {
      Block<V> y = Block<V>::load(call.y + i * 16) + Block<V>::load(call.add + i * 16);
      if (call.relu) y = max(Block<V>::zero(), y);
      y.store(call.y + i * 16);
    }
  });
}

template <class V, class T, bool kAdd, bool kMask, bool kSums>
void part_gradient_as(const NormPart& part, const NormPartGradient<T>& call) {
  const Block<V> mean = kSums ? Block<V>::load(call.mean) : Block<V>::zero();
  SumPair<V, 2> sums;
  sums.clear();
  const auto finish = [&](int64_t i, int j) {
    if (kSums) ask_to_read(call.x + (i + kPixelsAhead) * 16);
    if (kAdd) ask_to_read(call.add + (i + kPixelsAhead) * 16);
    Block<V> g = Block<V>::load(call.g + i * 16);
    if (kAdd) g = g + Block<V>::load(call.add + i * 16);
    if (kMask) g = select(load_bits<V>(call.mask + 2 * i), g, Block<V>::zero());
    if (kAdd || kMask) g.store(call.g + i * 16);
    if (!kSums) return;
    sums.a[j] = sums.a[j] + g;
    sums.b[j] = fma(g, Block<V>::load(call.x + i * 16) - mean, sums.b[j]);
  };
  stretches(part, [&](int64_t offset, int64_t pixels) {
    int64_t i = offset;
    const int64_t end = offset + pixels;
    for (; i + 2 <= end; i += 2) {
      UNROLL for (int j = 0; j < 2; ++j)
        finish(i + j, j);
    }
    if (i < end) finish(i, 0);
    if (kSums && (sums.pixels += pixels) >= kPartRun) sums.flush(call.sums->g, call.sums->gx);
  });
  if (kSums) sums.flush(call.sums->g, call.sums->gx);
}

template <class V, class T>
void part_gradient(const NormPart& part, const NormPartGradient<T>& call) {
  using Kernel = void (*)(const NormPart&, const NormPartGradient<T>&);
  static constexpr Kernel kernels[8] = {
      part_gradient_as<V, T, false, false, false>, part_gradient_as<V, T, false, false, true>,
      part_gradient_as<V, T, false, true, false>,  part_gradient_as<V, T, false, true, true>,
      part_gradient_as<V, T, true, false, false>,  part_gradient_as<V, T, true, false, true>,
      part_gradient_as<V, T, true, true, false>,   part_gradient_as<V, T, true, true, true>};
  kernels[(call.add != nullptr) * 4 + (call.mask != nullptr) * 2 + (call.x != nullptr)](part, call);
}

}  // namespace norm
}  // namespace fovea
