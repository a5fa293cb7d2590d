#include "kernels/pool/pool.inl.h"
#include "simd/vec_avx512.h"
#include "simd/vec_avx512soft.h"

namespace fovea {
extern constexpr PoolKernels pool_avx512 = pool::instance<simd::avx512::F32>("avx512");
extern constexpr PoolBf16Kernels pool_avx512soft = pool::bf16_instance<simd::avx512soft::Mixed>("avx512");
}  // namespace fovea
