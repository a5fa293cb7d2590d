#include "kernels/reduce/reduce.inl.h"
#include "simd/vec_avx512.h"

namespace fovea {
extern constexpr ReduceKernels reduce_avx512 = reduce::instance<simd::avx512::F32>("avx512");
}  // namespace fovea
