#include "kernels/eltwise/eltwise.inl.h"
#include "simd/vec_avx512.h"
#include "simd/vec_avx512soft.h"

namespace fovea {
extern constexpr EltwiseKernels eltwise_avx512 = eltwise::instance<simd::avx512::F32, simd::avx512::U64>("avx512");
extern constexpr EltwiseBf16Kernels eltwise_avx512soft = eltwise::bf16_instance<simd::avx512soft::Mixed>("avx512");
}  // namespace fovea
