#include "kernels/planes/planes.inl.h"
#include "simd/vec_avx512.h"

namespace fovea {
extern constexpr PlanesKernels planes_avx512 = planes::instance<simd::avx512::F32>("avx512");
}  // namespace fovea
