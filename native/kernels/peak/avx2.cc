#include "kernels/peak/peak.inl.h"
#include "simd/vec_avx2.h"
#include "simd/vec_avx2int16.h"

namespace fovea {

int64_t peak_avx2(int64_t rounds, float* data, int64_t) { return peak<simd::avx2::F32, 12>(rounds, data); }
int64_t peak_avx2int16(int64_t rounds, float* data, int64_t) {
  return peak_of_integers<simd::avx2int16::Int16Pairs, 12>(rounds, data);
}
int64_t memory_avx2(int64_t rounds, float* data, int64_t floats) { return move<simd::avx2::F32>(rounds, data, floats); }

}  // namespace fovea
