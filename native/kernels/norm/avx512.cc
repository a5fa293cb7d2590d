#include "kernels/norm/norm.inl.h"
#include "simd/vec_avx512.h"
#include "simd/vec_avx512soft.h"

namespace fovea {
extern constexpr NormKernels norm_avx512 = norm::instance<simd::avx512::F32>("avx512");
extern constexpr NormKernelsOf<Bfloat16> norm_avx512soft = norm::instance<simd::avx512soft::Mixed, Bfloat16>("avx512");
}  // namespace fovea
