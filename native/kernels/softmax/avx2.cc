#include "kernels/softmax/softmax.inl.h"
#include "simd/vec_avx2.h"

namespace fovea {
extern constexpr SoftmaxKernels softmax_avx2 = softmax::instance<simd::avx2::F32>("avx2");
}  // namespace fovea
