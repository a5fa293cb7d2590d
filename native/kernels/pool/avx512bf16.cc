#include "kernels/pool/pool.inl.h"
#include "simd/vec_avx512bf16.h"

namespace fovea {

using simd::avx512bf16::Mixed;

extern constexpr PoolBf16Kernels pool_avx512bf16 = {pool::instance<Mixed, Bfloat16, Bfloat16>("avx512bf16"),
                                                    pool::instance<Mixed, Bfloat16, float>("avx512bf16"),
                                                    pool::instance<Mixed, float, Bfloat16>("avx512bf16")};

}  // namespace fovea
