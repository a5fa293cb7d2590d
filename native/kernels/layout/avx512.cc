#include "kernels/layout/layout.inl.h"
#include "simd/vec_avx512.h"
#include "simd/vec_avx512soft.h"

namespace fovea {
extern constexpr LayoutKernels layout_avx512 = layout::instance<simd::avx512::F32>("avx512");
extern constexpr LayoutBf16Kernels layout_avx512soft = layout::bf16_instance<simd::avx512soft::Mixed>();
}  // namespace fovea
