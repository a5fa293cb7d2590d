#include "kernels/depthwise/instance.inl.h"
#include "simd/vec_avx2.h"
#include "simd/vec_avx2bf16.h"

namespace fovea {

using simd::avx2bf16::Mixed;

extern constexpr DepthwiseKernels depthwise_avx2 = depthwise::instance<simd::avx2::F32>("avx2");
extern constexpr DepthwiseBf16Kernels depthwise_avx2bf16 =
    depthwise::bf16_instance<Mixed, depthwise::Singly<Mixed, Bfloat16>>();

}  // namespace fovea
