#include "kernels/eltwise/eltwise.inl.h"
#include "simd/vec_avx2.h"
#include "simd/vec_avx2bf16.h"

namespace fovea {
extern constexpr EltwiseKernels eltwise_avx2 = eltwise::instance<simd::avx2::F32, simd::avx2::U64>("avx2");
extern constexpr EltwiseBf16Kernels eltwise_avx2bf16 = eltwise::bf16_instance<simd::avx2bf16::Mixed>("avx2");
}  // namespace fovea
