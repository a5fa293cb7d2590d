#include "kernels/optim/optim.inl.h"
#include "simd/vec_avx2.h"

namespace fovea {
extern constexpr OptimKernels optim_avx2 = optim::instance<simd::avx2::F32>("avx2");
}  // namespace fovea
