#include "kernels/brgemm/brgemm.inl.h"
#include "simd/vec_avx2bf16.h"

namespace fovea {
BRGEMM_INSTANCE(brgemm_avx2, simd::avx2bf16::Mixed, 6)
}  // namespace fovea
