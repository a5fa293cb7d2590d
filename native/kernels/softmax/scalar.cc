#include "kernels/softmax/softmax.inl.h"
#include "simd/vec_scalar.h"

namespace fovea {
extern constexpr SoftmaxKernels softmax_scalar = softmax::instance<simd::scalar::F32>("baseline");
}  // namespace fovea
