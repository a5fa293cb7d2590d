// Sixteen float lanes: AVX-512 F, BW, DQ, VL. See vec_scalar.h for what the names promise.
#pragma once
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push  // GCC 12 takes the undefined operands of its own unmasked intrinsics for a mistake
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
#include <stdint.h>

#include "simd/macros.h"

namespace fovea {
namespace simd {
namespace avx512 {

struct Mask {
  __mmask16 v;
};

// n <= 0 gives no lane, n >= 16 all of them.
FOVEA_INLINE __mmask16 lane_mask(int n) {
  return n >= 16 ? __mmask16(0xffff) : n <= 0 ? __mmask16(0) : __mmask16((1u << n) - 1);
}

struct F32 {
  using Sum = F32;
  static constexpr int kRoundedAtOnce = 0;
  static constexpr int kLanes = 16, kRegisters = 32;
  __m512 v;

  static FOVEA_INLINE F32 zero() { return {_mm512_setzero_ps()}; }
  static FOVEA_INLINE F32 splat(float x) { return {_mm512_set1_ps(x)}; }
  static FOVEA_INLINE F32 splat_at(const float* p) { return splat(*p); }
  static FOVEA_INLINE F32 load(const float* p) { return {_mm512_loadu_ps(p)}; }
  FOVEA_INLINE void store(float* p) const { _mm512_storeu_ps(p, v); }
  FOVEA_INLINE void store_past_caches(float* p) const { _mm512_stream_ps(p, v); }
  static FOVEA_INLINE F32 load_partial(const float* p, int n) { return {_mm512_maskz_loadu_ps(lane_mask(n), p)}; }
  FOVEA_INLINE void store_partial(float* p, int n) const { _mm512_mask_storeu_ps(p, lane_mask(n), v); }
  static FOVEA_INLINE F32 taken(const float* block, const int32_t* lanes) {
    const __m512i from = _mm512_loadu_si512(lanes);
    return {_mm512_maskz_permutexvar_ps(_mm512_cmpge_epi32_mask(from, _mm512_setzero_si512()), from, load(block).v)};
  }
  template <int kBit>
  FOVEA_INLINE F32 swapped() const {
    if (kBit >= 4) return {_mm512_shuffle_f32x4(v, v, kBit == 4 ? 0xb1 : 0x4e)};
    return {_mm512_permute_ps(v, kBit == 1 ? 0xb1 : 0x4e)};
  }
  static FOVEA_INLINE Mask first_lanes(int n) { return {lane_mask(n)}; }
  static FOVEA_INLINE Mask lanes_of(uint32_t bits) { return {__mmask16(bits)}; }
  static FOVEA_INLINE F32 load_u8(const uint8_t* p) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return {_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes))};
  }
  FOVEA_INLINE void store_u8(uint8_t* p) const {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtusepi32_epi8(_mm512_cvttps_epi32(v)));
  }
  static FOVEA_INLINE F32 load_i32(const int32_t* p) { return {_mm512_cvtepi32_ps(_mm512_loadu_si512(p))}; }
  FOVEA_INLINE void store_i32(int32_t* p) const { _mm512_storeu_si512(p, _mm512_cvttps_epi32(v)); }
};

FOVEA_INLINE F32 even_lanes(F32 a, F32 b) {
  const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  return {_mm512_permutex2var_ps(a.v, even, b.v)};
}
FOVEA_INLINE F32 operator+(F32 a, F32 b) { return {_mm512_add_ps(a.v, b.v)}; }
FOVEA_INLINE F32 operator-(F32 a, F32 b) { return {_mm512_sub_ps(a.v, b.v)}; }
FOVEA_INLINE F32 operator*(F32 a, F32 b) { return {_mm512_mul_ps(a.v, b.v)}; }
FOVEA_INLINE F32 operator/(F32 a, F32 b) { return {_mm512_div_ps(a.v, b.v)}; }
FOVEA_INLINE F32 fma(F32 a, F32 b, F32 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
FOVEA_INLINE void accumulate(F32& sum, F32 a, F32 b) {
#if defined(__GNUC__)
  asm("vfmadd231ps %2, %1, %0" : "+v"(sum.v) : "v"(a.v), "v"(b.v));
#else
  sum = fma(a, b, sum);
#endif
}
FOVEA_INLINE void accumulate(F32& sum, const float* a, F32 b) {
#if defined(__GNUC__)
  asm("vfmadd231ps %2%{1to16%}, %1, %0" : "+v"(sum.v) : "v"(b.v), "m"(*a));
#else
  sum = fma(F32::splat(*a), b, sum);
#endif
}
FOVEA_INLINE void keep(F32& x) {
#if defined(__GNUC__)
  asm("" : "+v"(x.v));
#else
  (void)x;
#endif
}
FOVEA_INLINE F32 sqrt(F32 a) { return {_mm512_sqrt_ps(a.v)}; }

FOVEA_INLINE Mask greater(F32 a, F32 b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ)}; }
FOVEA_INLINE Mask equal(F32 a, F32 b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ)}; }
FOVEA_INLINE Mask is_nan(F32 a) { return {_mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q)}; }
FOVEA_INLINE Mask operator|(Mask a, Mask b) { return {__mmask16(a.v | b.v)}; }
FOVEA_INLINE Mask operator&(Mask a, Mask b) { return {__mmask16(a.v & b.v)}; }
FOVEA_INLINE uint32_t bits(Mask m) { return m.v; }
FOVEA_INLINE F32 select(Mask m, F32 yes, F32 no) { return {_mm512_mask_blend_ps(m.v, no.v, yes.v)}; }

FOVEA_INLINE F32 max(F32 a, F32 b) { return {_mm512_max_ps(a.v, b.v)}; }
FOVEA_INLINE F32 min(F32 a, F32 b) { return {_mm512_min_ps(a.v, b.v)}; }

FOVEA_INLINE F32 operator|(F32 a, F32 b) { return {_mm512_or_ps(a.v, b.v)}; }

FOVEA_INLINE float reduce_add(F32 a) {
  const __m256 h = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}

FOVEA_INLINE float reduce_max(F32 a) {
  const __m256 h = _mm256_max_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_shuffle_ps(s, s, 1)));
}

FOVEA_INLINE F32 round_even(F32 a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}

FOVEA_INLINE F32 scale_pow2(F32 a, F32 n) { return {_mm512_scalef_ps(a.v, n.v)}; }

FOVEA_INLINE void transpose(F32* rows) {
  __m512 a[16], b[16];
  UNROLL for (int i = 0; i < 8; ++i) {
    a[2 * i] = _mm512_unpacklo_ps(rows[2 * i].v, rows[2 * i + 1].v);
    a[2 * i + 1] = _mm512_unpackhi_ps(rows[2 * i].v, rows[2 * i + 1].v);
  }
  UNROLL for (int i = 0; i < 4; ++i) {  // b[4 i + c]: column c of each 4x4 square of rows 4 i .. 4 i + 3
    UNROLL for (int j = 0; j < 2; ++j) {
      b[4 * i + 2 * j] = _mm512_shuffle_ps(a[4 * i + j], a[4 * i + 2 + j], 0x44);
      b[4 * i + 2 * j + 1] = _mm512_shuffle_ps(a[4 * i + j], a[4 * i + 2 + j], 0xee);
    }
  }
  UNROLL for (int c = 0; c < 4; ++c) {
    const __m512 even01 = _mm512_shuffle_f32x4(b[c], b[4 + c], 0x88),
                 odd01 = _mm512_shuffle_f32x4(b[c], b[4 + c], 0xdd);
    const __m512 even23 = _mm512_shuffle_f32x4(b[8 + c], b[12 + c], 0x88);
    const __m512 odd23 = _mm512_shuffle_f32x4(b[8 + c], b[12 + c], 0xdd);
    rows[c].v = _mm512_shuffle_f32x4(even01, even23, 0x88);
    rows[8 + c].v = _mm512_shuffle_f32x4(even01, even23, 0xdd);
    rows[4 + c].v = _mm512_shuffle_f32x4(odd01, odd23, 0x88);
    rows[12 + c].v = _mm512_shuffle_f32x4(odd01, odd23, 0xdd);
  }
}

struct U64 {
  static constexpr int kLanes = 8;
  __m512i v;

  static FOVEA_INLINE U64 splat(uint64_t x) { return {_mm512_set1_epi64(int64_t(x))}; }
  static FOVEA_INLINE U64 load(const uint64_t* p) { return {_mm512_loadu_si512(p)}; }
  FOVEA_INLINE void store(uint64_t* p) const { _mm512_storeu_si512(p, v); }
};

FOVEA_INLINE U64 operator^(U64 a, U64 b) { return {_mm512_xor_si512(a.v, b.v)}; }
FOVEA_INLINE U64 high_half(U64 a) { return {_mm512_srli_epi64(a.v, 32)}; }
FOVEA_INLINE U64 multiply_low(U64 a, U64 b) { return {_mm512_mul_epu32(a.v, b.v)}; }

}  // namespace avx512
}  // namespace simd
}  // namespace fovea
