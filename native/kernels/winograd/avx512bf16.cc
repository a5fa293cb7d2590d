#include "kernels/winograd/winograd.inl.h"
#include "simd/vec_avx512bf16.h"

namespace fovea {
extern constexpr WinogradBf16Kernels winograd_avx512bf16 = winograd::bf16_instance<simd::avx512bf16::Mixed>();
}  // namespace fovea
