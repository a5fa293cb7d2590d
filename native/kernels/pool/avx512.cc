#include "kernels/pool/pool.inl.h"
#include "simd/vec_avx512.h"

namespace fovea {
extern constexpr PoolKernels pool_avx512 = pool::instance<simd::avx512::F32>("avx512");
}  // namespace fovea
