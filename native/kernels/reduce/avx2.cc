#include "kernels/reduce/reduce.inl.h"
#include "simd/vec_avx2.h"

namespace fovea {
extern constexpr ReduceKernels reduce_avx2 = reduce::instance<simd::avx2::F32>("avx2");
}  // namespace fovea
