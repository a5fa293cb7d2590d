#include "kernels/norm/norm.inl.h"
#include "simd/vec_avx512.h"

namespace fovea {
extern constexpr NormKernels norm_avx512 = norm::instance<simd::avx512::F32>("avx512");
}  // namespace fovea
