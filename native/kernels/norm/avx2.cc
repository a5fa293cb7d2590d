#include "kernels/norm/norm.inl.h"
#include "simd/vec_avx2.h"
#include "simd/vec_avx2bf16.h"

namespace fovea {
extern constexpr NormKernels norm_avx2 = norm::instance<simd::avx2::F32>("avx2");
extern constexpr NormKernelsOf<Bfloat16> norm_avx2bf16 = norm::instance<simd::avx2bf16::Mixed, Bfloat16>("avx2");
}  // namespace fovea
