#include <stdint.h>

#include "simd/vec_avx512bf16.h"

namespace fovea {

using simd::avx512::F32;
using simd::avx512bf16::Pairs;

int64_t peak_avx512bf16(int64_t rounds, float* data, int64_t) {
  constexpr int kChains = 24;  // as of float32: no product is ready before several others have begun
  const Pairs a = Pairs::load(data), b = Pairs::splat_at(data);
  F32 sums[kChains];
  UNROLL for (int i = 0; i < kChains; ++i)
    sums[i] = F32::splat(float(i));
  for (int64_t round = 0; round < rounds; ++round) {
    UNROLL for (int i = 0; i < kChains; ++i)
      accumulate(sums[i], a, b);
  }
  UNROLL for (int i = 1; i < kChains; ++i)
    sums[0] = sums[0] + sums[i];
  sums[0].store(data);
  return rounds * kChains * 16 * 4;  // a pair is two multiplications and two additions
}

}  // namespace fovea
