#include "kernels/depthwise/instance.inl.h"
#include "simd/vec_avx512.h"
#include "simd/vec_avx512soft.h"

namespace fovea {

using simd::avx512soft::Mixed;

extern constexpr DepthwiseKernels depthwise_avx512 = depthwise::instance<simd::avx512::F32>("avx512");
extern constexpr DepthwiseBf16Kernels depthwise_avx512soft =
    depthwise::bf16_instance<Mixed, depthwise::Singly<Mixed, Bfloat16>>();

}  // namespace fovea
