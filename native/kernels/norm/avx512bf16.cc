#include "kernels/norm/norm.inl.h"
#include "simd/vec_avx512bf16.h"

namespace fovea {
extern constexpr NormKernelsOf<Bfloat16> norm_avx512bf16 =
    norm::instance<simd::avx512bf16::Mixed, Bfloat16>("avx512bf16");
}  // namespace fovea
