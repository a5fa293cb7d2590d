#include "kernels/pool/pool.inl.h"
#include "simd/vec_scalar.h"

namespace fovea {
extern constexpr PoolKernels pool_scalar = pool::instance<simd::scalar::F32>("baseline");
}  // namespace fovea
