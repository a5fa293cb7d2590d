#include "kernels/peak/peak.inl.h"
#include "simd/vec_avx2.h"

namespace fovea {

int64_t peak_avx2(int64_t rounds, float* sink) { return peak<simd::avx2::F32, 12>(rounds, sink); }

}  // namespace fovea
