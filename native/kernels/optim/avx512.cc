#include "kernels/optim/optim.inl.h"
#include "simd/vec_avx512.h"

namespace fovea {
extern constexpr OptimKernels optim_avx512 = optim::instance<simd::avx512::F32>("avx512");
}  // namespace fovea
