// The one template behind peak.h: `kChains` sums at once hide the latency of each.
#pragma once
#include <stdint.h>

#include "simd/macros.h"

namespace fovea {

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

}  // namespace fovea
