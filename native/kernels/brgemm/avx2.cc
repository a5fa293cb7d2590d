#include "kernels/brgemm/brgemm.inl.h"
#include "simd/vec_avx2.h"

namespace fovea {
BRGEMM_INSTANCE(brgemm_avx2, simd::avx2::F32, 6)
}  // namespace fovea
