#include "kernels/depthwise/depthwise.inl.h"
#include "simd/vec_avx512.h"

namespace fovea {
extern constexpr DepthwiseKernels depthwise_avx512 = depthwise::instance<simd::avx512::F32>("avx512");
}  // namespace fovea
