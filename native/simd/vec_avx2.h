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
  static constexpr int kLanes = 8;
  __m256 v;

  static FOVEA_INLINE F32 zero() { return {_mm256_setzero_ps()}; }
  static FOVEA_INLINE F32 splat(float x) { return {_mm256_set1_ps(x)}; }
  static FOVEA_INLINE F32 load(const float* p) { return {_mm256_loadu_ps(p)}; }
  FOVEA_INLINE void store(float* p) const { _mm256_storeu_ps(p, v); }
  static FOVEA_INLINE F32 load_partial(const float* p, int n) { return {_mm256_maskload_ps(p, lane_mask(n))}; }
  FOVEA_INLINE void store_partial(float* p, int n) const { _mm256_maskstore_ps(p, lane_mask(n), v); }
  static FOVEA_INLINE Mask first_lanes(int n) { return {_mm256_castsi256_ps(lane_mask(n))}; }
  static FOVEA_INLINE F32 load_u8(const uint8_t* p) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes))};
  }
};

FOVEA_INLINE F32 operator+(F32 a, F32 b) { return {_mm256_add_ps(a.v, b.v)}; }
FOVEA_INLINE F32 operator-(F32 a, F32 b) { return {_mm256_sub_ps(a.v, b.v)}; }
FOVEA_INLINE F32 operator*(F32 a, F32 b) { return {_mm256_mul_ps(a.v, b.v)}; }
FOVEA_INLINE F32 operator/(F32 a, F32 b) { return {_mm256_div_ps(a.v, b.v)}; }
FOVEA_INLINE F32 fma(F32 a, F32 b, F32 c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
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

FOVEA_INLINE float reduce_add(F32 a) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}

}  // namespace avx2
}  // namespace simd
}  // namespace fovea
