#include "kernels/layout/layout.inl.h"
#include "simd/vec_scalar.h"

namespace fovea {
extern constexpr LayoutKernels layout_scalar = layout::instance<simd::scalar::F32>("baseline");
}  // namespace fovea
