#include "kernels/depthwise/depthwise.inl.h"
#include "simd/vec_avx512bf16.h"

namespace fovea {
using simd::avx512bf16::Mixed;
extern constexpr DepthwiseBf16Kernels depthwise_avx512bf16 = {
    {depthwise::forward<Mixed, 1, Bfloat16>, depthwise::forward<Mixed, 2, Bfloat16>,
     depthwise::forward<Mixed, 4, Bfloat16>, depthwise::forward<Mixed, 8, Bfloat16>}};
}  // namespace fovea
