#include "kernels/winograd/winograd.inl.h"
#include "simd/vec_avx512.h"
#include "simd/vec_avx512soft.h"

namespace fovea {
WINOGRAD_INSTANCE(winograd_avx512, simd::avx512::F32, 6, 4, 7, 2, 8, 2, true)
extern constexpr WinogradBf16Kernels winograd_avx512soft = winograd::bf16_instance<simd::avx512soft::Mixed>();
}  // namespace fovea
