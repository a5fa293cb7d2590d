#include "kernels/layout/layout.inl.h"
#include "simd/vec_avx2.h"

namespace fovea {
extern constexpr LayoutKernels layout_avx2 = layout::instance<simd::avx2::F32>("avx2");
}  // namespace fovea
