#include "kernels/peak/peak.inl.h"
#include "simd/vec_scalar.h"

namespace fovea {

int64_t peak_scalar(int64_t rounds, float* data, int64_t) { return peak<simd::scalar::F32, 12>(rounds, data); }
int64_t memory_scalar(int64_t rounds, float* data, int64_t floats) {
  return move<simd::scalar::F32>(rounds, data, floats);
}

}  // namespace fovea
