#include "kernels/brgemm/brgemm.inl.h"
#include "simd/vec_avx512.h"

namespace fovea {
BRGEMM_INSTANCE(brgemm_avx512, simd::avx512::F32, 30, 14, 9, 6)
}  // namespace fovea
