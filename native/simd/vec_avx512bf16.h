// Sixteen words, each a pair of bfloat16: AVX512-BF16 on top of vec_avx512.h. A product of pairs is the sum of two
// products, added to a float32 lane; denormals count as zero, whatever MXCSR says.
#pragma once
#include "simd/vec_avx512.h"

namespace fovea {
namespace simd {
namespace avx512bf16 {

using avx512::F32;

// Memory holds pairs where floats would lie: the words are moved, never computed with as floats.
struct Pairs {
  using Sum = F32;
  static constexpr int kLanes = 16;
  __m512bh v;

  static FOVEA_INLINE Pairs splat_at(const float* word) {
    int32_t bits;
    __builtin_memcpy(&bits, word, sizeof(bits));  // may lie at an odd multiple of two bytes
    return {(__m512bh)_mm512_set1_epi32(bits)};
  }
  static FOVEA_INLINE Pairs load(const float* p) { return {(__m512bh)_mm512_loadu_ps(p)}; }
};

FOVEA_INLINE void accumulate(F32& sum, Pairs a, Pairs b) {
#if defined(__GNUC__)
  asm("vdpbf16ps %2, %1, %0" : "+v"(sum.v) : "v"(a.v), "v"(b.v));
#else
  sum.v = _mm512_dpbf16_ps(sum.v, a.v, b.v);
#endif
}
FOVEA_INLINE void accumulate(F32& sum, const float* a, Pairs b) {
#if defined(__GNUC__)
  asm("vdpbf16ps %2%{1to16%}, %1, %0" : "+v"(sum.v) : "v"(b.v), "m"(*a));
#else
  accumulate(sum, Pairs::splat_at(a), b);
#endif
}
FOVEA_INLINE void keep(Pairs& x) {
#if defined(__GNUC__)
  asm("" : "+v"(x.v));
#else
  (void)x;
#endif
}

// Sixteen values as one bfloat16 each, rounded to nearest even.
struct Half {
  __m256bh v;
};
FOVEA_INLINE Half round_bf16(F32 x) { return {_mm512_cvtneps_pbh(x.v)}; }
FOVEA_INLINE F32 widen(Half x) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)x.v), 16))};
}
FOVEA_INLINE void store(Half x, void* p) { _mm256_storeu_si256(static_cast<__m256i*>(p), (__m256i)x.v); }

// Word i: the pair of lane i of `even` and lane i of `odd`, `even` in the low half.
FOVEA_INLINE F32 interleave(Half even, Half odd) {
  const __m512i low = _mm512_cvtepu16_epi32((__m256i)even.v);
  const __m512i high = _mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)odd.v), 16);
  return {_mm512_castsi512_ps(_mm512_or_si512(low, high))};
}

}  // namespace avx512bf16
}  // namespace simd
}  // namespace fovea
