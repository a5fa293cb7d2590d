#include "kernels/brgemm/brgemm.inl.h"
#include "simd/vec_avx512soft.h"

namespace fovea {
BRGEMM_INSTANCE(brgemm_avx512, simd::avx512soft::Mixed, 30, 14, 9, 6)
}  // namespace fovea
