#include "kernels/eltwise/eltwise.inl.h"
#include "simd/vec_avx512.h"

namespace fovea {
extern constexpr EltwiseKernels eltwise_avx512 = eltwise::instance<simd::avx512::F32, simd::avx512::U64>("avx512");
}  // namespace fovea
