#include "kernels/norm/norm.inl.h"
#include "simd/vec_scalar.h"

namespace fovea {
extern constexpr NormKernels norm_scalar = norm::instance<simd::scalar::F32>("baseline");
}  // namespace fovea
