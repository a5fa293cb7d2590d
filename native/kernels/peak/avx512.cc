#include "kernels/peak/peak.inl.h"
#include "simd/vec_avx512.h"

namespace fovea {

int64_t peak_avx512(int64_t rounds, float* sink) { return peak<simd::avx512::F32, 24>(rounds, sink); }

}  // namespace fovea
