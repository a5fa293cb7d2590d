#include "kernels/eltwise/eltwise.inl.h"
#include "simd/vec_scalar.h"

namespace fovea {
extern constexpr EltwiseKernels eltwise_scalar = eltwise::instance<simd::scalar::F32, simd::scalar::U64>("baseline");
}  // namespace fovea
