// Sixteen words, each a pair of 16-bit integers: AVX512-VNNI on top of vec_avx512.h. A product of pairs is the sum of
// two products, added to a 32-bit lane, exactly unless that overflows.
#pragma once
#include "simd/vec_avx512.h"

namespace fovea {
namespace simd {
namespace avx512vnni {

using avx512::F32;

struct I32 {
  __m512i v;

  // To nearest, ties to even.
  static FOVEA_INLINE I32 round(F32 x) { return {_mm512_cvtps_epi32(x.v)}; }
  static FOVEA_INLINE I32 zero() { return {_mm512_setzero_si512()}; }
  FOVEA_INLINE F32 to_float() const { return {_mm512_cvtepi32_ps(v)}; }
};

// Memory holds pairs where floats would lie: the words are moved, never computed with as floats.
struct Int16Pairs {
  using Sum = I32;
  using Float = F32;
  static constexpr int kLanes = 16;
  __m512i v;

  static FOVEA_INLINE Int16Pairs splat_at(const float* word) {
#if defined(__GNUC__)
    Int16Pairs all;
    asm("vpbroadcastd %1, %0" : "=v"(all.v) : "m"(*word));  // as for pairs of bfloat16
    return all;
#else
    return {_mm512_castps_si512(_mm512_set1_ps(*word))};
#endif
  }
  static FOVEA_INLINE Int16Pairs load(const float* p) { return {_mm512_loadu_si512(p)}; }
  FOVEA_INLINE void store(float* p) const { _mm512_storeu_si512(p, v); }

  // Of values that are not negative; a NaN counts as larger than all of them.
  static FOVEA_INLINE F32 larger(F32 a, F32 b) {
    return {_mm512_castsi512_ps(_mm512_max_epu32(_mm512_castps_si512(a.v), _mm512_castps_si512(b.v)))};
  }

  // Word i: the pair of lane i of `low` and lane i of `high`, which 16 bits must hold.
  static FOVEA_INLINE Int16Pairs pairs_of(I32 low, I32 high) {
    return {_mm512_mask_blend_epi16(0xaaaaaaaa, low.v, _mm512_slli_epi32(high.v, 16))};
  }
  // The neighbours of both, four lanes from one and four from the other in turn: cheaper than their order would be.
  // Beyond 16 bits the nearest integer that they hold.
  static FOVEA_INLINE Int16Pairs neighbours_of(I32 low, I32 high) { return {_mm512_packs_epi32(low.v, high.v)}; }
};

FOVEA_INLINE void accumulate(I32& sum, Int16Pairs a, Int16Pairs b) {
#if defined(__GNUC__)
  asm("vpdpwssd %2, %1, %0" : "+v"(sum.v) : "v"(a.v), "v"(b.v));
#else
  sum.v = _mm512_dpwssd_epi32(sum.v, a.v, b.v);
#endif
}
FOVEA_INLINE void accumulate(I32& sum, const float* a, Int16Pairs b) {
#if defined(__GNUC__)
  asm("vpdpwssd %2%{1to16%}, %1, %0" : "+v"(sum.v) : "v"(b.v), "m"(*a));
#else
  accumulate(sum, Int16Pairs::splat_at(a), b);
#endif
}
FOVEA_INLINE void keep(Int16Pairs& x) {
#if defined(__GNUC__)
  asm("" : "+v"(x.v));
#else
  (void)x;
#endif
}

}  // namespace avx512vnni
}  // namespace simd
}  // namespace fovea
