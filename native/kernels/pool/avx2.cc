#include "kernels/pool/pool.inl.h"
#include "simd/vec_avx2.h"

namespace fovea {
extern constexpr PoolKernels pool_avx2 = pool::instance<simd::avx2::F32>("avx2");
}  // namespace fovea
