#include "kernels/reduce/reduce.inl.h"
#include "simd/vec_scalar.h"

namespace fovea {
extern constexpr ReduceKernels reduce_scalar = reduce::instance<simd::scalar::F32>("baseline");
}  // namespace fovea
