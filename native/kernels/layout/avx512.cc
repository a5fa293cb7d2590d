#include "kernels/layout/layout.inl.h"
#include "simd/vec_avx512.h"

namespace fovea {
extern constexpr LayoutKernels layout_avx512 = layout::instance<simd::avx512::F32>("avx512");
}  // namespace fovea
