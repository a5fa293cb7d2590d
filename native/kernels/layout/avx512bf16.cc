#include "kernels/layout/layout.inl.h"
#include "simd/vec_avx512bf16.h"

namespace fovea {
extern constexpr LayoutBf16Kernels layout_avx512bf16 = layout::bf16_instance<simd::avx512bf16::Mixed>();
}  // namespace fovea
