// Float lanes that may lie in memory as float32 or as bfloat16, which rounds them to nearest even: for every
// instruction set the same, but for its Half, as many bfloat16 as it has lanes. A type of its own for each, so that
// what is compiled for one instruction set shares no symbol with another's.
#pragma once
#include "simd/bfloat16.h"
#include "simd/macros.h"

namespace fovea {
namespace simd {

template <class F32, class Half>
struct Mixed : F32 {
  using Sum = Mixed;
  static constexpr int kRoundedAtOnce = Half::kRoundedAtOnce;
  Mixed() = default;
  FOVEA_INLINE Mixed(F32 x) : F32(x) {}

  static FOVEA_INLINE Mixed zero() { return F32::zero(); }
  static FOVEA_INLINE Mixed splat(float x) { return F32::splat(x); }
  static FOVEA_INLINE Mixed splat_at(const float* p) { return F32::splat(*p); }
  static FOVEA_INLINE Mixed splat_at(const Bfloat16* p) {
    const uint32_t word = uint32_t(p->bits) << 16;
    float x;
    __builtin_memcpy(&x, &word, sizeof(x));
    return F32::splat(x);
  }
  static FOVEA_INLINE Mixed load(const float* p) { return F32::load(p); }
  static FOVEA_INLINE Mixed load(const Bfloat16* p) { return Half::load(p).widened(); }
  static FOVEA_INLINE Mixed load_partial(const float* p, int n) { return F32::load_partial(p, n); }
  static FOVEA_INLINE Mixed load_partial(const Bfloat16* p, int n) { return Half::load_partial(p, n).widened(); }
  using F32::store;
  FOVEA_INLINE void store(Bfloat16* p) const { Half::of(*this).store(p); }
  using F32::store_partial;
  FOVEA_INLINE void store_partial(Bfloat16* p, int n) const { Half::of(*this).store_partial(p, n); }

  // For sums that are rounded, as vec_avx512bf16.h has them: of a Half that takes two vectors at once.
  static FOVEA_INLINE Mixed widened(const Bfloat16* p) { return load(p); }
  static FOVEA_INLINE auto rounded(F32 low, F32 high) { return Half::of(low, high); }
  static FOVEA_INLINE auto floor_of_relu(bool relu) { return Half::floor_of_relu(relu); }
};

}  // namespace simd
}  // namespace fovea
