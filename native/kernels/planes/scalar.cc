#include "kernels/planes/planes.inl.h"
#include "simd/vec_scalar.h"

namespace fovea {
extern constexpr PlanesKernels planes_scalar = planes::instance<simd::scalar::F32>("scalar");
}  // namespace fovea
