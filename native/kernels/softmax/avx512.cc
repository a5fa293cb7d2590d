#include "kernels/softmax/softmax.inl.h"
#include "simd/vec_avx512.h"

namespace fovea {
extern constexpr SoftmaxKernels softmax_avx512 = softmax::instance<simd::avx512::F32>("avx512");
}  // namespace fovea
