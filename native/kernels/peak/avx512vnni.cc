#include "kernels/peak/peak.inl.h"
#include "simd/vec_avx512vnni.h"

namespace fovea {

int64_t peak_avx512vnni(int64_t rounds, float* data, int64_t) {
  return peak_of_integers<simd::avx512vnni::Int16Pairs, 24>(rounds, data);
}

}  // namespace fovea
