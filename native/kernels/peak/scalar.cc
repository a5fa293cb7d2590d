#include "kernels/peak/peak.inl.h"
#include "simd/vec_scalar.h"

namespace fovea {

int64_t peak_scalar(int64_t rounds, float* sink) { return peak<simd::scalar::F32, 12>(rounds, sink); }

}  // namespace fovea
