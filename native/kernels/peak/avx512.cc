#include "kernels/peak/peak.inl.h"
#include "simd/vec_avx512.h"

namespace fovea {

int64_t peak_avx512(int64_t rounds, float* data, int64_t) { return peak<simd::avx512::F32, 24>(rounds, data); }
int64_t memory_avx512(int64_t rounds, float* data, int64_t floats) {
  return move<simd::avx512::F32>(rounds, data, floats);
}

}  // namespace fovea
