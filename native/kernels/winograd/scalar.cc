#include "kernels/winograd/winograd.inl.h"
#include "simd/vec_scalar.h"

namespace fovea {
WINOGRAD_INSTANCE(winograd_scalar, simd::scalar::F32, 2, 1, 2, 1, 2, 1, false)
}  // namespace fovea
