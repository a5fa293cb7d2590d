// Eight float lanes that may lie in memory as bfloat16, on top of vec_avx2.h: AVX2 knows no bfloat16, so words are
// shifted. What vec_avx512bf16.h does in one instruction, except that denormals stay what they are.
#pragma once
#include "simd/mixed.h"
#include "simd/vec_avx2.h"

namespace fovea {
namespace simd {
namespace avx2bf16 {

using avx2::F32;

// Eight values as one bfloat16 each.
struct Half {
  static constexpr int kRoundedAtOnce = 1;
  __m128i v;

  // To nearest, ties to even: half of the last place that stays, less one where that place is even. It carries into the
  // exponent as it should, but makes of some NaN Inf or zero: all bits of a NaN are set instead.
  static FOVEA_INLINE Half of(F32 x) {
    const __m256i word = _mm256_castps_si256(x.v),
                  odd = _mm256_and_si256(_mm256_srli_epi32(word, 16), _mm256_set1_epi32(1));
    const __m256i near = _mm256_add_epi32(_mm256_add_epi32(word, _mm256_set1_epi32(0x7fff)), odd);
    const __m256i nan = _mm256_castps_si256(is_nan(x).v);
    const __m256i upper = _mm256_srli_epi32(_mm256_or_si256(near, nan), 16);
    return {_mm_packus_epi32(_mm256_castsi256_si128(upper), _mm256_extracti128_si256(upper, 1))};
  }
  FOVEA_INLINE F32 widened() const { return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(v), 16))}; }

  static FOVEA_INLINE Half load(const Bfloat16* p) { return {_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))}; }
  static FOVEA_INLINE Half load_partial(const Bfloat16* p, int n) {
    if (n >= F32::kLanes) return load(p);
    Bfloat16 some[F32::kLanes] = {};
    for (int i = 0; i < n; ++i) some[i] = p[i];
    return load(some);
  }
  FOVEA_INLINE void store(Bfloat16* p) const { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), v); }
  FOVEA_INLINE void store_partial(Bfloat16* p, int n) const {
    if (n >= F32::kLanes) return store(p);
    Bfloat16 some[F32::kLanes];
    store(some);
    for (int i = 0; i < n; ++i) p[i] = some[i];
  }
};

using Mixed = simd::Mixed<F32, Half>;

}  // namespace avx2bf16
}  // namespace simd
}  // namespace fovea
