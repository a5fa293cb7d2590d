// Eight words, each a pair of 16-bit integers: on top of vec_avx2.h. A product of pairs is the sum of two products,
// made by one instruction and added to a 32-bit lane by another, exactly unless that overflows.
#pragma once
#include "simd/vec_avx2.h"

namespace fovea {
namespace simd {
namespace avx2int16 {

using avx2::F32;

struct I32 {
  __m256i v;

  // To nearest, ties to even.
  static FOVEA_INLINE I32 round(F32 x) { return {_mm256_cvtps_epi32(x.v)}; }
  static FOVEA_INLINE I32 zero() { return {_mm256_setzero_si256()}; }
  FOVEA_INLINE F32 to_float() const { return {_mm256_cvtepi32_ps(v)}; }
};

// Memory holds pairs where floats would lie: the words are moved, never computed with as floats.
struct Int16Pairs {
  using Sum = I32;
  using Float = F32;
  static constexpr int kLanes = 8;
  __m256i v;

  static FOVEA_INLINE Int16Pairs splat_at(const float* word) {
    return {_mm256_castps_si256(_mm256_broadcast_ss(word))};
  }
  static FOVEA_INLINE Int16Pairs load(const float* p) {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))};
  }
  FOVEA_INLINE void store(float* p) const { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }

  // Of values that are not negative; a NaN counts as larger than all of them.
  static FOVEA_INLINE F32 larger(F32 a, F32 b) {
    return {_mm256_castsi256_ps(_mm256_max_epu32(_mm256_castps_si256(a.v), _mm256_castps_si256(b.v)))};
  }

  // Word i: the pair of lane i of `low` and lane i of `high`, which 16 bits must hold.
  static FOVEA_INLINE Int16Pairs pairs_of(I32 low, I32 high) {
    return {_mm256_blend_epi16(low.v, _mm256_slli_epi32(high.v, 16), 0xaa)};
  }
  // The neighbours of both, four lanes from one and four from the other in turn: cheaper than their order would be.
  // Beyond 16 bits the nearest integer that they hold.
  static FOVEA_INLINE Int16Pairs neighbours_of(I32 low, I32 high) { return {_mm256_packs_epi32(low.v, high.v)}; }
};

FOVEA_INLINE void accumulate(I32& sum, Int16Pairs a, Int16Pairs b) {
#if defined(__GNUC__)
  __m256i product;  // as one, or GCC makes all the products first and spills them
  asm("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(sum.v), "=&x"(product) : "x"(a.v), "x"(b.v));
#else
  sum.v = _mm256_add_epi32(sum.v, _mm256_madd_epi16(a.v, b.v));
#endif
}
FOVEA_INLINE void accumulate(I32& sum, const float* a, Int16Pairs b) { accumulate(sum, Int16Pairs::splat_at(a), b); }
FOVEA_INLINE void keep(Int16Pairs& x) {
#if defined(__GNUC__)
  asm("" : "+x"(x.v));
#else
  (void)x;
#endif
}

}  // namespace avx2int16
}  // namespace simd
}  // namespace fovea
