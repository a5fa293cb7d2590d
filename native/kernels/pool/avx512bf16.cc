#include "kernels/pool/pool.inl.h"
#include "simd/vec_avx512bf16.h"

namespace fovea {
extern constexpr PoolBf16Kernels pool_avx512bf16 = pool::bf16_instance<simd::avx512bf16::Mixed>("avx512bf16");
}  // namespace fovea
