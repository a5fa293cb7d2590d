#include "kernels/optim/optim.inl.h"
#include "simd/vec_scalar.h"

namespace fovea {
extern constexpr OptimKernels optim_scalar = optim::instance<simd::scalar::F32>("baseline");
}  // namespace fovea
