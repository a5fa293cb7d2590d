// The templates behind peak.h.
#pragma once
#include <stdint.h>

#include "simd/macros.h"

namespace fovea {

// `kChains` sums at once hide the latency of each.
template <class V, int kChains>
FOVEA_INLINE int64_t peak(int64_t rounds, float* sink) {
  V sums[kChains];
  const V half = V::splat(sink[0] + 0.5f), one = V::splat(1.0f);
  UNROLL for (int i = 0; i < kChains; ++i)
    sums[i] = V::splat(float(i));
  for (int64_t round = 0; round < rounds; ++round) {
    UNROLL for (int i = 0; i < kChains; ++i)
      sums[i] = fma(sums[i], half, one);
  }
  UNROLL for (int i = 1; i < kChains; ++i)
    sums[0] = sums[0] + sums[i];
  sums[0].store(sink);
  return rounds * kChains * V::kLanes * 2;
}

// The same of pairs of 16-bit integers, whose product is two multiplications and two additions.
template <class V, int kChains>
FOVEA_INLINE int64_t peak_of_integers(int64_t rounds, float* sink) {
  using Sum = typename V::Sum;
  using Float = typename V::Float;
  const V a = V::load(sink), b = V::splat_at(sink);
  Sum sums[kChains];
  UNROLL for (int i = 0; i < kChains; ++i)
    sums[i] = Sum::round(Float::splat(float(i)));
  for (int64_t round = 0; round < rounds; ++round) {
    UNROLL for (int i = 0; i < kChains; ++i)
      accumulate(sums[i], a, b);
  }
  Float all = sums[0].to_float();
  UNROLL for (int i = 1; i < kChains; ++i)
    all = all + sums[i].to_float();
  all.store(sink);
  return rounds * kChains * V::kLanes * 4;
}

// As the addition of a residual does.
template <class V>
FOVEA_INLINE int64_t move(int64_t rounds, float* data, int64_t floats) {
  constexpr int kAtOnce = 64 / V::kLanes;
  const float* other = data + floats;
  for (int64_t round = 0; round < rounds; ++round) {
    for (int64_t i = 0; i < floats; i += 64) {
      UNROLL for (int j = 0; j < kAtOnce; ++j)
        (V::load(data + i + j * V::kLanes) + V::load(other + i + j * V::kLanes)).store(data + i + j * V::kLanes);
    }
  }
  return rounds * floats * 3 * int64_t(sizeof(float));
}

}  // namespace fovea
