// Sixteen words, each a pair of bfloat16: AVX512-BF16 on top of vec_avx512.h. A product of pairs is the sum of two
// products, added to a float32 lane; denormals count as zero, whatever MXCSR says.
#pragma once
#include "simd/mixed.h"
#include "simd/vec_avx512.h"

namespace fovea {
namespace simd {
namespace avx512bf16 {

using avx512::F32;
struct Halves;

// Memory holds pairs where floats would lie: the words are moved, never computed with as floats.
struct Pairs {
  using Sum = F32;
  static constexpr int kLanes = 16, kRoundedAtOnce = 2;
  __m512bh v;

  // A load of its own each time. Of pixels half as far apart as a loop's four rounds are long, GCC would find that some
  // come again and keep the words of all rows on the stack: 345 instead of 440 GFLOP/s.
  static FOVEA_INLINE Pairs splat_at(const float* word) {
#if defined(__GNUC__)
    Pairs all;
    asm("vpbroadcastd %1, %0" : "=v"(all.v) : "m"(*word));
    return all;
#else
    int32_t bits;
    __builtin_memcpy(&bits, word, sizeof(bits));  // may lie at an odd multiple of two bytes
    return {(__m512bh)_mm512_set1_epi32(bits)};
#endif
  }
  static FOVEA_INLINE Pairs load(const float* p) { return {(__m512bh)_mm512_loadu_ps(p)}; }
  // What sums are rounded to, and back.
  static FOVEA_INLINE Halves rounded(F32 low, F32 high);
  static FOVEA_INLINE Halves floor_of_relu(bool relu);
  static FOVEA_INLINE F32 widened(const Bfloat16* p);
  static FOVEA_INLINE Pairs splat(uint32_t word) { return {(__m512bh)_mm512_set1_epi32(int32_t(word))}; }
  // Lane i: the pair of low[i] and high[i]; of p[i] and p[16 + i]; of low[i] and zero.
  static FOVEA_INLINE Pairs of(const Bfloat16* low, const Bfloat16* high);
  static FOVEA_INLINE Pairs of_neighbours(const Bfloat16* p);
  static FOVEA_INLINE Pairs with_zeros(const Bfloat16* low);
  template <int kBit>
  FOVEA_INLINE Pairs swapped() const {
    return {(__m512bh)F32{_mm512_castsi512_ps((__m512i)v)}.swapped<kBit>().v};
  }
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
FOVEA_INLINE F32 fma(Pairs a, Pairs b, F32 c) {
  accumulate(c, a, b);
  return c;
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
  static constexpr int kRoundedAtOnce = 2;
  __m256bh v;

  static FOVEA_INLINE Half of(F32 x) { return {_mm512_cvtneps_pbh(x.v)}; }
  static FOVEA_INLINE Halves of(F32 low, F32 high);
  static FOVEA_INLINE Halves floor_of_relu(bool relu);
  // One instruction, where extending words and shifting them would be two.
  FOVEA_INLINE F32 widened() const {
    const __m512i to_upper = _mm512_set_epi16(15, 15, 14, 14, 13, 13, 12, 12, 11, 11, 10, 10, 9, 9, 8, 8, 7, 7, 6, 6, 5,
                                              5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
    return {
        _mm512_castsi512_ps(_mm512_maskz_permutexvar_epi16(0xaaaaaaaa, to_upper, _mm512_zextsi256_si512((__m256i)v)))};
  }

  static FOVEA_INLINE Half load(const Bfloat16* p) {
    return {(__m256bh)_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))};
  }
  static FOVEA_INLINE Half load_partial(const Bfloat16* p, int n) {
    return {(__m256bh)_mm256_maskz_loadu_epi16(avx512::lane_mask(n), p)};
  }
  FOVEA_INLINE void store(void* p) const { _mm256_storeu_si256(static_cast<__m256i*>(p), (__m256i)v); }
  FOVEA_INLINE void store_partial(Bfloat16* p, int n) const {
    _mm256_mask_storeu_epi16(p, avx512::lane_mask(n), (__m256i)v);
  }
};

// Thirty-two values likewise: those of `low` in the lower half.
struct Halves {
  __m512bh v;
};
FOVEA_INLINE Halves Half::of(F32 low, F32 high) { return {_mm512_cvtne2ps_pbh(high.v, low.v)}; }
FOVEA_INLINE Halves lower_alone(Half low) { return {(__m512bh)_mm512_zextsi256_si512((__m256i)low.v)}; }
FOVEA_INLINE Half lower(Halves x) { return {(__m256bh)_mm512_castsi512_si256((__m512i)x.v)}; }
FOVEA_INLINE Half upper(Halves x) { return {(__m256bh)_mm512_extracti64x4_epi64((__m512i)x.v, 1)}; }
FOVEA_INLINE Halves load_halves(const Bfloat16* p) { return {(__m512bh)_mm512_loadu_si512(p)}; }
FOVEA_INLINE void store(Halves x, void* p) { _mm512_storeu_si512(p, (__m512i)x.v); }
FOVEA_INLINE void store_past_caches(Halves x, void* p) { _mm512_stream_si512(static_cast<__m512i*>(p), (__m512i)x.v); }

// Read as integers, negative numbers lie below zero and above 0x8000: ReLU is a maximum with zero, which makes zero of
// a NaN with their sign too, and a maximum with 0x8000 changes nothing.
FOVEA_INLINE Halves Half::floor_of_relu(bool relu) { return {(__m512bh)_mm512_set1_epi16(relu ? 0 : INT16_MIN)}; }
FOVEA_INLINE Halves Pairs::floor_of_relu(bool relu) { return Half::floor_of_relu(relu); }
FOVEA_INLINE Halves max_as_integers(Halves x, Halves y) {
  return {(__m512bh)_mm512_max_epi16((__m512i)x.v, (__m512i)y.v)};
}
// NaN for values that are not finite, else `rest` as it was.
FOVEA_INLINE void add_if_not_finite(F32& rest, Halves x) { accumulate(rest, Pairs{x.v}, Pairs::splat(0)); }

FOVEA_INLINE F32 as_words(Halves x) { return {_mm512_castsi512_ps((__m512i)x.v)}; }
// Value i: from the table of both, 64 values, at place[i].
FOVEA_INLINE Halves pick(Halves low, const uint16_t* place, Halves high) {
  return {(__m512bh)_mm512_permutex2var_epi16((__m512i)low.v, _mm512_load_si512(place), (__m512i)high.v)};
}

// Word i: the pair of lane i of the lower half and lane i of the upper.
FOVEA_INLINE F32 interleave(Halves x) {
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21,
                                         5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return {_mm512_castsi512_ps(_mm512_permutexvar_epi16(order, (__m512i)x.v))};
}

FOVEA_INLINE Halves Pairs::rounded(F32 low, F32 high) { return Half::of(low, high); }
FOVEA_INLINE F32 Pairs::widened(const Bfloat16* p) { return Half::load(p).widened(); }
FOVEA_INLINE Pairs Pairs::of(const Bfloat16* low, const Bfloat16* high) {
  const __m512i both = _mm512_inserti64x4((__m512i)lower_alone(Half::load(low)).v, (__m256i)Half::load(high).v, 1);
  return {(__m512bh)interleave(Halves{(__m512bh)both}).v};
}
FOVEA_INLINE Pairs Pairs::of_neighbours(const Bfloat16* p) { return {(__m512bh)interleave(load_halves(p)).v}; }
FOVEA_INLINE Pairs Pairs::with_zeros(const Bfloat16* low) {
  return {(__m512bh)_mm512_cvtepu16_epi32((__m256i)Half::load(low).v)};
}

using Mixed = simd::Mixed<F32, Half>;

}  // namespace avx512bf16
}  // namespace simd
}  // namespace fovea
