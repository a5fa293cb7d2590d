#include "kernels/norm/norm.inl.h"
#include "simd/vec_avx2.h"

namespace fovea {
extern constexpr NormKernels norm_avx2 = norm::instance<simd::avx2::F32>("avx2");
}  // namespace fovea
