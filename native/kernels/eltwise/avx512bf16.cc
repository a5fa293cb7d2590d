#include "kernels/eltwise/eltwise.inl.h"
#include "simd/vec_avx512bf16.h"

namespace fovea {
extern constexpr EltwiseBf16Kernels eltwise_avx512bf16 = eltwise::bf16_instance<simd::avx512bf16::Mixed>("avx512bf16");
}  // namespace fovea
