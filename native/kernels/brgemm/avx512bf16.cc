#include "kernels/brgemm/brgemm.inl.h"
#include "simd/vec_avx512bf16.h"

namespace fovea {
BRGEMM_INSTANCE(brgemm_avx512bf16, simd::avx512bf16::Pairs, 30, 14, 9, 6)
BRGEMM_INSTANCE(brgemm_avx512mixed, simd::avx512bf16::Mixed, 30, 14, 9, 6)
}  // namespace fovea
