// Eight float lanes: AVX2 and FMA. See vec_scalar.h for what the names promise.
#pragma once
#include <immintrin.h>
#include <stdint.h>

#include "simd/macros.h"

namespace fovea {
namespace simd {
namespace avx2 {

struct Mask {
  __m256 v;
};

FOVEA_INLINE __m256i lane_mask(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

struct F32 {
  using Sum = F32;
  static constexpr int kRoundedAtOnce = 0;
  static constexpr int kLanes = 8, kRegisters = 16;
  __m256 v;

  static FOVEA_INLINE F32 zero() { return {_mm256_setzero_ps()}; }
  static FOVEA_INLINE F32 splat(float x) { return {_mm256_set1_ps(x)}; }
  static FOVEA_INLINE F32 splat_at(const float* p) { return splat(*p); }
  static FOVEA_INLINE F32 load(const float* p) { return {_mm256_loadu_ps(p)}; }
  FOVEA_INLINE void store(float* p) const { _mm256_storeu_ps(p, v); }
  FOVEA_INLINE void store_past_caches(float* p) const { _mm256_stream_ps(p, v); }
  static FOVEA_INLINE F32 load_partial(const float* p, int n) { return {_mm256_maskload_ps(p, lane_mask(n))}; }
  FOVEA_INLINE void store_partial(float* p, int n) const { _mm256_maskstore_ps(p, lane_mask(n), v); }
  static FOVEA_INLINE F32 taken(const float* block, const int32_t* lanes) {
    const __m256i from = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(lanes));
    const __m256 first = _mm256_permutevar8x32_ps(load(block).v, from);
    const __m256 second = _mm256_permutevar8x32_ps(load(block + 8).v, from);
    const __m256 all = _mm256_blendv_ps(first, second, _mm256_castsi256_ps(_mm256_slli_epi32(from, 28)));
    return {_mm256_andnot_ps(_mm256_castsi256_ps(_mm256_srai_epi32(from, 31)), all)};
  }
  template <int kBit>
  FOVEA_INLINE F32 swapped() const {
    if (kBit == 4) return {_mm256_permute2f128_ps(v, v, 0x01)};
    return {_mm256_permute_ps(v, kBit == 1 ? 0xb1 : 0x4e)};
  }
  static FOVEA_INLINE Mask first_lanes(int n) { return {_mm256_castsi256_ps(lane_mask(n))}; }
  static FOVEA_INLINE Mask lanes_of(uint32_t bits) {
    const __m256i lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i set = _mm256_and_si256(_mm256_set1_epi32(int32_t(bits)), lane);
    return {_mm256_castsi256_ps(_mm256_cmpeq_epi32(set, lane))};
  }
  static FOVEA_INLINE F32 load_u8(const uint8_t* p) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes))};
  }
  FOVEA_INLINE void store_u8(uint8_t* p) const {
    const __m256i whole = _mm256_cvttps_epi32(v);
    const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(words, words));
  }
  static FOVEA_INLINE F32 load_i32(const int32_t* p) {
    return {_mm256_cvtepi32_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
  }
  FOVEA_INLINE void store_i32(int32_t* p) const {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_cvttps_epi32(v));
  }
};

FOVEA_INLINE F32 even_lanes(F32 a, F32 b) {
  const __m256d halves = _mm256_castps_pd(_mm256_shuffle_ps(a.v, b.v, 0x88));  // a0 a2 b0 b2 a4 a6 b4 b6
  return {_mm256_castpd_ps(_mm256_permute4x64_pd(halves, 0xd8))};
}
FOVEA_INLINE F32 operator+(F32 a, F32 b) { return {_mm256_add_ps(a.v, b.v)}; }
FOVEA_INLINE F32 operator-(F32 a, F32 b) { return {_mm256_sub_ps(a.v, b.v)}; }
FOVEA_INLINE F32 operator*(F32 a, F32 b) { return {_mm256_mul_ps(a.v, b.v)}; }
FOVEA_INLINE F32 operator/(F32 a, F32 b) { return {_mm256_div_ps(a.v, b.v)}; }
FOVEA_INLINE F32 fma(F32 a, F32 b, F32 c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
FOVEA_INLINE void accumulate(F32& sum, F32 a, F32 b) {
#if defined(__GNUC__)
  asm("vfmadd231ps %2, %1, %0" : "+x"(sum.v) : "x"(a.v), "x"(b.v));
#else
  sum = fma(a, b, sum);
#endif
}
FOVEA_INLINE void accumulate(F32& sum, const float* a, F32 b) { accumulate(sum, F32::splat(*a), b); }
FOVEA_INLINE void keep(F32& x) {
#if defined(__GNUC__)
  asm("" : "+x"(x.v));
#else
  (void)x;
#endif
}
FOVEA_INLINE F32 sqrt(F32 a) { return {_mm256_sqrt_ps(a.v)}; }

FOVEA_INLINE Mask greater(F32 a, F32 b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_GT_OQ)}; }
FOVEA_INLINE Mask equal(F32 a, F32 b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_EQ_OQ)}; }
FOVEA_INLINE Mask is_nan(F32 a) { return {_mm256_cmp_ps(a.v, a.v, _CMP_UNORD_Q)}; }
FOVEA_INLINE Mask operator|(Mask a, Mask b) { return {_mm256_or_ps(a.v, b.v)}; }
FOVEA_INLINE Mask operator&(Mask a, Mask b) { return {_mm256_and_ps(a.v, b.v)}; }
FOVEA_INLINE uint32_t bits(Mask m) { return uint32_t(_mm256_movemask_ps(m.v)); }
FOVEA_INLINE F32 select(Mask m, F32 yes, F32 no) { return {_mm256_blendv_ps(no.v, yes.v, m.v)}; }

FOVEA_INLINE F32 max(F32 a, F32 b) { return {_mm256_max_ps(a.v, b.v)}; }
FOVEA_INLINE F32 min(F32 a, F32 b) { return {_mm256_min_ps(a.v, b.v)}; }

FOVEA_INLINE F32 operator|(F32 a, F32 b) { return {_mm256_or_ps(a.v, b.v)}; }

FOVEA_INLINE float reduce_add(F32 a) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}

FOVEA_INLINE float reduce_max(F32 a) {
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_shuffle_ps(s, s, 1)));
}

FOVEA_INLINE F32 round_even(F32 a) { return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }

FOVEA_INLINE F32 scale_pow2(F32 a, F32 n) {
  const __m256i whole = _mm256_cvttps_epi32(n.v), half = _mm256_srai_epi32(whole, 1);
  const __m256i bias = _mm256_set1_epi32(127), rest = _mm256_sub_epi32(whole, half);
  const __m256 first = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
  const __m256 second = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23));
  return {_mm256_mul_ps(_mm256_mul_ps(a.v, first), second)};
}

FOVEA_INLINE void transpose(F32* rows) {
  __m256 a[8], b[8];
  UNROLL for (int i = 0; i < 4; ++i) {
    a[2 * i] = _mm256_unpacklo_ps(rows[2 * i].v, rows[2 * i + 1].v);
    a[2 * i + 1] = _mm256_unpackhi_ps(rows[2 * i].v, rows[2 * i + 1].v);
  }
  UNROLL for (int i = 0; i < 2; ++i) {
    UNROLL for (int j = 0; j < 2; ++j) {
      b[4 * i + 2 * j] = _mm256_shuffle_ps(a[4 * i + j], a[4 * i + 2 + j], 0x44);
      b[4 * i + 2 * j + 1] = _mm256_shuffle_ps(a[4 * i + j], a[4 * i + 2 + j], 0xee);
    }
  }
  UNROLL for (int i = 0; i < 4; ++i) {
    rows[i].v = _mm256_permute2f128_ps(b[i], b[i + 4], 0x20);
    rows[i + 4].v = _mm256_permute2f128_ps(b[i], b[i + 4], 0x31);
  }
}

struct U64 {
  static constexpr int kLanes = 4;
  __m256i v;

  static FOVEA_INLINE U64 splat(uint64_t x) { return {_mm256_set1_epi64x(int64_t(x))}; }
  static FOVEA_INLINE U64 load(const uint64_t* p) { return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))}; }
  FOVEA_INLINE void store(uint64_t* p) const { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
};

FOVEA_INLINE U64 operator^(U64 a, U64 b) { return {_mm256_xor_si256(a.v, b.v)}; }
FOVEA_INLINE U64 high_half(U64 a) { return {_mm256_srli_epi64(a.v, 32)}; }
FOVEA_INLINE U64 multiply_low(U64 a, U64 b) { return {_mm256_mul_epu32(a.v, b.v)}; }

}  // namespace avx2
}  // namespace simd
}  // namespace fovea
