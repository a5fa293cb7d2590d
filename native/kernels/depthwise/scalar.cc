#include "kernels/depthwise/instance.inl.h"
#include "simd/vec_scalar.h"

namespace fovea {
extern constexpr DepthwiseKernels depthwise_scalar = depthwise::instance<simd::scalar::F32>("scalar");
}  // namespace fovea
