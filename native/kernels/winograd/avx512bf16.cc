#include "kernels/winograd/winograd.inl.h"
#include "simd/vec_avx512bf16.h"

namespace fovea {

using simd::avx512bf16::Mixed;
using winograd::Axis;
using winograd::Transforms;

extern constexpr WinogradBf16Kernels winograd_avx512bf16 = {
    Transforms<Mixed, Axis<winograd::Two<Mixed>>, false>::rounded(),
    Transforms<Mixed, Axis<winograd::Four<Mixed>>, false>::rounded(),
    Transforms<Mixed, Axis<winograd::TwoOfFive<Mixed>>, false>::rounded(),
    Transforms<Mixed, winograd::Strided<Mixed>, false>::rounded(),
    Transforms<Mixed, winograd::Strided<Mixed>, true>::rounded()};

}  // namespace fovea
