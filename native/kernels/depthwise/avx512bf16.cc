#include "kernels/depthwise/instance.inl.h"
#include "simd/vec_avx512bf16.h"

namespace fovea {
namespace depthwise {
namespace {

using simd::avx512bf16::Mixed;
using simd::avx512bf16::Pairs;

// Two pixels at once, lane by lane, as one instruction multiplies and adds them.
struct InPairs {
  using Element = Bfloat16;
  using Vector = Pairs;
  static constexpr int kPixels = 2;

  template <bool kDense>
  static FOVEA_INLINE Pairs load(const Bfloat16* p, ptrdiff_t step) {
    return kDense ? Pairs::of_neighbours(p) : Pairs::of(p, p + step);
  }
  static FOVEA_INLINE Pairs load_one(const Bfloat16* p) { return Pairs::with_zeros(p); }
  static FOVEA_INLINE Pairs ones() { return Pairs::splat(0x3f803f80); }
};

}  // namespace
}  // namespace depthwise

extern constexpr DepthwiseBf16Kernels depthwise_avx512bf16 =
    depthwise::bf16_instance<depthwise::Mixed, depthwise::InPairs>();
}  // namespace fovea
