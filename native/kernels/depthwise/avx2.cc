#include "kernels/depthwise/depthwise.inl.h"
#include "simd/vec_avx2.h"

namespace fovea {
extern constexpr DepthwiseKernels depthwise_avx2 = depthwise::instance<simd::avx2::F32>("avx2");
}  // namespace fovea
