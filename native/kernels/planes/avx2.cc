#include "kernels/planes/planes.inl.h"
#include "simd/vec_avx2.h"

namespace fovea {
extern constexpr PlanesKernels planes_avx2 = planes::instance<simd::avx2::F32>("avx2");
}  // namespace fovea
