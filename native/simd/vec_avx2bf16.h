// Eight float lanes that may lie in memory as float32 or as bfloat16, on top of vec_avx2.h: AVX2 knows no bfloat16, so
// words are shifted. What vec_avx512bf16.h does in one instruction, except that denormals stay what they are.
#pragma once
#include "simd/bfloat16.h"
#include "simd/vec_avx2.h"

namespace fovea {
namespace simd {
namespace avx2bf16 {

using avx2::F32;

// Eight values as one bfloat16 each.
struct Half {
  __m128i v;
};
FOVEA_INLINE F32 widen(Half x) { return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x.v), 16))}; }
// To nearest, ties to even: half of the last place that stays, less one where that place is even. It carries into the
// exponent as it should, but makes of some NaN Inf or zero: all bits of a NaN are set instead.
FOVEA_INLINE Half round_bf16(F32 x) {
  const __m256i word = _mm256_castps_si256(x.v),
                odd = _mm256_and_si256(_mm256_srli_epi32(word, 16), _mm256_set1_epi32(1));
  const __m256i near = _mm256_add_epi32(_mm256_add_epi32(word, _mm256_set1_epi32(0x7fff)), odd);
  const __m256i nan = _mm256_castps_si256(is_nan(x).v);
  const __m256i upper = _mm256_srli_epi32(_mm256_or_si256(near, nan), 16);
  return {_mm_packus_epi32(_mm256_castsi256_si128(upper), _mm256_extracti128_si256(upper, 1))};
}
FOVEA_INLINE Half load_half(const Bfloat16* p) { return {_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))}; }
FOVEA_INLINE void store(Half x, void* p) { _mm_storeu_si128(static_cast<__m128i*>(p), x.v); }

struct Mixed : F32 {
  using Sum = Mixed;
  Mixed() = default;
  FOVEA_INLINE Mixed(F32 x) : F32(x) {}

  static FOVEA_INLINE Mixed zero() { return F32::zero(); }
  static FOVEA_INLINE Mixed splat(float x) { return F32::splat(x); }
  static FOVEA_INLINE Mixed splat_at(const float* p) { return F32::splat(*p); }
  static FOVEA_INLINE Mixed splat_at(const Bfloat16* p) {
    return F32{_mm256_castsi256_ps(_mm256_set1_epi32(int32_t(uint32_t(p->bits) << 16)))};
  }
  static FOVEA_INLINE Mixed load(const float* p) { return F32::load(p); }
  static FOVEA_INLINE Mixed load(const Bfloat16* p) { return widen(load_half(p)); }
  static FOVEA_INLINE Mixed load_partial(const float* p, int n) { return F32::load_partial(p, n); }
  static FOVEA_INLINE Mixed load_partial(const Bfloat16* p, int n) {
    if (n >= kLanes) return load(p);
    Bfloat16 some[kLanes] = {};
    for (int i = 0; i < n; ++i) some[i] = p[i];
    return load(some);
  }
  using F32::store;
  FOVEA_INLINE void store(Bfloat16* p) const { avx2bf16::store(round_bf16(*this), p); }
  using F32::store_partial;
  FOVEA_INLINE void store_partial(Bfloat16* p, int n) const {
    if (n >= kLanes) return store(p);
    Bfloat16 some[kLanes];
    store(some);
    for (int i = 0; i < n; ++i) p[i] = some[i];
  }
};

}  // namespace avx2bf16
}  // namespace simd
}  // namespace fovea
