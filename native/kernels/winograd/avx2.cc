#include "kernels/winograd/winograd.inl.h"
#include "simd/vec_avx2.h"
#include "simd/vec_avx2bf16.h"

namespace fovea {
WINOGRAD_INSTANCE(winograd_avx2, simd::avx2::F32, 6, 1, 6, 1, 6, 1, true)
extern constexpr WinogradBf16Kernels winograd_avx2bf16 = winograd::bf16_instance<simd::avx2bf16::Mixed>();
}  // namespace fovea
