#include "kernels/pool/pool.inl.h"
#include "simd/vec_avx2.h"
#include "simd/vec_avx2bf16.h"

namespace fovea {
extern constexpr PoolKernels pool_avx2 = pool::instance<simd::avx2::F32>("avx2");
extern constexpr PoolBf16Kernels pool_avx2bf16 = pool::bf16_instance<simd::avx2bf16::Mixed>("avx2");
}  // namespace fovea
