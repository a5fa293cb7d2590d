// The one template behind norm.h.
#pragma once
#include "kernels/norm/norm.h"
#include "kernels/norm/part.inl.h"
#include "simd/block16.h"

namespace fovea {
namespace norm {

using simd::Block;

// Pixels that are centred together: 8 KiB when blocked, so that the second look at them comes from the first-level
// cache.
constexpr int kRun = 128;

template <class V, bool kFull, class T>
FOVEA_INLINE Block<V> load(const T* p, int lanes) {
  return kFull ? Block<V>::load(p) : Block<V>::load_partial(p, lanes);
}
template <class V, bool kFull, class T>
FOVEA_INLINE void store(Block<V> v, T* p, int lanes) {
  kFull ? v.store(p) : v.store_partial(p, lanes);
}

template <class V>
void merge_run(const Block<V>& center, const Block<V>& sum, const Block<V>& square, double n, int lanes,
               NormMoments* all) {
  float c[16], s[16], q[16];
  center.store(c), sum.store(s), square.store(q);
  for (int i = 0; i < lanes; ++i) {
    const double mean = double(c[i]) + double(s[i]) / n, m2 = double(q[i]) - double(s[i]) * double(s[i]) / n;
    const double total = all->count[i] + n, delta = mean - all->mean[i];
    all->mean[i] += delta * (n / total);
    all->m2[i] += m2 + delta * delta * (all->count[i] * n / total);
    all->count[i] = total;
  }
}

template <class V, bool kFull, class T>
FOVEA_INLINE void moments_run(const T* x, int n, int64_t stride, int lanes, NormMoments* all) {
  Block<V> sum[4], square[4];
  UNROLL for (int j = 0; j < 4; ++j)
    sum[j] = square[j] = Block<V>::zero();
  int i = 0;
  for (; i + 4 <= n; i += 4) {
    UNROLL for (int j = 0; j < 4; ++j)
      sum[j] = sum[j] + load<V, kFull>(x + (i + j) * stride, lanes);
  }
  for (; i < n; ++i) sum[0] = sum[0] + load<V, kFull>(x + i * stride, lanes);
  const Block<V> center = ((sum[0] + sum[1]) + (sum[2] + sum[3])) * Block<V>::splat(1.0f / float(n));
  UNROLL for (int j = 0; j < 4; ++j)
    sum[j] = Block<V>::zero();
  for (i = 0; i + 4 <= n; i += 4) {
    UNROLL for (int j = 0; j < 4; ++j) {
      const Block<V> d = load<V, kFull>(x + (i + j) * stride, lanes) - center;
      sum[j] = sum[j] + d, square[j] = fma(d, d, square[j]);
    }
  }
  for (; i < n; ++i) {
    const Block<V> d = load<V, kFull>(x + i * stride, lanes) - center;
    sum[0] = sum[0] + d, square[0] = fma(d, d, square[0]);
  }
  merge_run<V>(center, (sum[0] + sum[1]) + (sum[2] + sum[3]), (square[0] + square[1]) + (square[2] + square[3]),
               double(n), lanes, all);
}

template <class V, class T>
void moments(const T* x, int64_t pixels, int64_t stride, int lanes, NormMoments* all) {
  for (int64_t i = 0; i < pixels; i += kRun) {
    const int n = pixels - i < kRun ? int(pixels - i) : kRun;
    if (lanes == 16) {
      moments_run<V, true>(x + i * stride, n, stride, 16, all);
    } else {
      moments_run<V, false>(x + i * stride, n, stride, lanes, all);
    }
  }
}

template <class V, class T, bool kFull, bool kResidual, bool kRelu, bool kMask>
void normalize_as(const T* x, const T* residual, T* y, int64_t pixels, int64_t stride, int lanes,
                  const NormAffine& affine, uint8_t* mask) {
  const Block<V> mean = Block<V>::load(affine.mean), scale = Block<V>::load(affine.scale);
  const Block<V> shift = Block<V>::load(affine.shift);
  for (int64_t i = 0; i < pixels; ++i) {
    const int64_t o = i * stride, later = o + kPixelsAhead * stride;
    ask_to_read(x + later);
    ask_to_write(y + later);
    if (kResidual) ask_to_read(residual + later);
    Block<V> v = fma(load<V, kFull>(x + o, lanes) - mean, scale, shift);
    if (kResidual) v = v + load<V, kFull>(residual + o, lanes);
    if (kRelu) v = max(Block<V>::zero(), v);
    if (kMask) store_bits(greater(v, Block<V>::zero()), mask + 2 * i);
    store<V, kFull>(v, y + o, lanes);
  }
}

template <class V, class T>
void normalize(const T* x, const T* residual, T* y, int64_t pixels, int64_t stride, int lanes, const NormAffine& affine,
               bool relu, uint8_t* mask) {
  using Kernel = void (*)(const T*, const T*, T*, int64_t, int64_t, int, const NormAffine&, uint8_t*);
  static constexpr Kernel kernels[8] = {
      normalize_as<V, T, false, false, false, false>, normalize_as<V, T, false, false, true, false>,
      normalize_as<V, T, false, true, false, false>,  normalize_as<V, T, false, true, true, false>,
      normalize_as<V, T, true, false, false, false>,  normalize_as<V, T, true, false, true, false>,
      normalize_as<V, T, true, true, false, false>,   normalize_as<V, T, true, true, true, false>};
  static constexpr Kernel masking[2] = {normalize_as<V, T, true, false, true, true>,
                                        normalize_as<V, T, true, true, true, true>};
  const Kernel kernel =
      mask ? masking[residual != nullptr] : kernels[(lanes == 16) * 4 + (residual != nullptr) * 2 + relu];
  kernel(x, residual, y, pixels, stride, lanes, affine, mask);
}

template <class V, bool kFull, bool kMask, class T>
FOVEA_INLINE Block<V> masked(const T* dy, const T* y, int lanes) {
  const Block<V> d = load<V, kFull>(dy, lanes);
  return kMask ? select(greater(load<V, kFull>(y, lanes), Block<V>::zero()), d, Block<V>::zero()) : d;
}

template <class V, class T, bool kFull, bool kMask>
void sums_as(const T* dy, const T* x, const T* y, T* g, int64_t pixels, int64_t stride, int lanes, const float* mean,
             NormSums* sums) {
  const Block<V> center = Block<V>::load(mean);
  for (int64_t run = 0; run < pixels; run += kRun) {  // float32 inside a run, double from run to run
    const int64_t end = run + kRun < pixels ? run + kRun : pixels;
    Block<V> sum[2], product[2];
    UNROLL for (int j = 0; j < 2; ++j)
      sum[j] = product[j] = Block<V>::zero();
    for (int64_t i = run; i < end; i += 2) {
      UNROLL for (int j = 0; j < 2; ++j) {
        if (i + j >= end) break;
        const int64_t o = (i + j) * stride;
        const Block<V> d = masked<V, kFull, kMask>(dy + o, kMask ? y + o : nullptr, lanes);
        if (g) store<V, kFull>(d, g + o, lanes);
        sum[j] = sum[j] + d;
        product[j] = fma(d, load<V, kFull>(x + o, lanes) - center, product[j]);
      }
    }
    float s[16], p[16];
    (sum[0] + sum[1]).store(s), (product[0] + product[1]).store(p);
    for (int i = 0; i < 16; ++i) sums->g[i] += double(s[i]), sums->gx[i] += double(p[i]);
  }
}

template <class V, class T>
void gradient_sums(const T* dy, const T* x, const T* y, T* g, int64_t pixels, int64_t stride, int lanes,
                   const float* mean, NormSums* sums) {
  using Kernel = void (*)(const T*, const T*, const T*, T*, int64_t, int64_t, int, const float*, NormSums*);
  static constexpr Kernel kernels[4] = {sums_as<V, T, false, false>, sums_as<V, T, false, true>,
                                        sums_as<V, T, true, false>, sums_as<V, T, true, true>};
  kernels[(lanes == 16) * 2 + (y != nullptr)](dy, x, y, g, pixels, stride, lanes, mean, sums);
}

template <class V, class T, bool kFull, bool kMask, bool kThroughStatistics>
void apply_as(const T* dy, const T* x, const T* y, T* dx, int64_t pixels, int64_t stride, int lanes,
              const NormGradient& gradient) {
  const Block<V> mean = Block<V>::load(gradient.mean), scale = Block<V>::load(gradient.scale);
  const Block<V> offset = Block<V>::load(gradient.offset), slope = Block<V>::load(gradient.slope);
  for (int64_t i = 0; i < pixels; ++i) {
    const int64_t o = i * stride, later = o + kPixelsAhead * stride;
    ask_to_read(dy + later);
    if (kThroughStatistics) ask_to_read(x + later);
    Block<V> d = masked<V, kFull, kMask>(dy + o, kMask ? y + o : nullptr, lanes);
    if (kThroughStatistics) d = d - offset - (load<V, kFull>(x + o, lanes) - mean) * slope;
    store<V, kFull>(d * scale, dx + o, lanes);
  }
}

template <class V, class T>
void gradient_apply(const T* dy, const T* x, const T* y, T* dx, int64_t pixels, int64_t stride, int lanes,
                    const NormGradient& gradient) {
  using Kernel = void (*)(const T*, const T*, const T*, T*, int64_t, int64_t, int, const NormGradient&);
  static constexpr Kernel kernels[8] = {apply_as<V, T, false, false, false>, apply_as<V, T, false, false, true>,
                                        apply_as<V, T, false, true, false>,  apply_as<V, T, false, true, true>,
                                        apply_as<V, T, true, false, false>,  apply_as<V, T, true, false, true>,
                                        apply_as<V, T, true, true, false>,   apply_as<V, T, true, true, true>};
  const int kind = (lanes == 16) * 4 + (y != nullptr) * 2 + (x != nullptr);
  kernels[kind](dy, x, y, dx, pixels, stride, lanes, gradient);
}

template <class V, class T = float>
constexpr NormKernelsOf<T> instance(const char* isa) {
  return {isa,
          moments<V, T>,
          normalize<V, T>,
          gradient_sums<V, T>,
          gradient_apply<V, T>,
          part_moments<V, T>,
          part_mask<V, T>,
          part_add<V, T>,
          part_gradient<V, T>};
}

}  // namespace norm
}  // namespace fovea
