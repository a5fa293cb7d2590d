#include "kernels/winograd/winograd.inl.h"
#include "simd/vec_avx512bf16.h"

namespace fovea {
namespace {

using simd::avx512bf16::Mixed;

template <template <class> class Points>
constexpr WinogradBf16Transforms transforms() {
  return {winograd::input<Mixed, Points, Bfloat16>, winograd::output<Mixed, Points, Bfloat16>,
          winograd::output_gradient<Mixed, Points, Bfloat16>};
}

}  // namespace

extern constexpr WinogradBf16Kernels winograd_avx512bf16 = {transforms<winograd::Two>(), transforms<winograd::Four>()};

}  // namespace fovea
