#include "kernels/layout/layout.inl.h"
#include "simd/vec_avx2.h"
#include "simd/vec_avx2bf16.h"

namespace fovea {
extern constexpr LayoutKernels layout_avx2 = layout::instance<simd::avx2::F32>("avx2");
extern constexpr LayoutBf16Kernels layout_avx2bf16 = layout::bf16_instance<simd::avx2bf16::Mixed>();
}  // namespace fovea
