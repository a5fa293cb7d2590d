// Sixteen float lanes that may lie in memory as bfloat16, where AVX-512 comes without BF16: words are shifted, as in
// vec_avx2bf16.h.
#pragma once
#include "simd/mixed.h"
#include "simd/vec_avx512.h"

namespace fovea {
namespace simd {
namespace avx512soft {

using avx512::F32;

// Sixteen values as one bfloat16 each.
struct Half {
  static constexpr int kRoundedAtOnce = 1;
  __m256i v;

  // See vec_avx2bf16.h.
  static FOVEA_INLINE Half of(F32 x) {
    const __m512i word = _mm512_castps_si512(x.v), all = _mm512_set1_epi32(-1);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(word, 16), _mm512_set1_epi32(1));
    const __m512i near = _mm512_add_epi32(_mm512_add_epi32(word, _mm512_set1_epi32(0x7fff)), odd);
    return {_mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_mask_blend_epi32(is_nan(x).v, near, all), 16))};
  }
  FOVEA_INLINE F32 widened() const { return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(v), 16))}; }

  static FOVEA_INLINE Half load(const Bfloat16* p) { return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))}; }
  static FOVEA_INLINE Half load_partial(const Bfloat16* p, int n) {
    return {_mm256_maskz_loadu_epi16(avx512::lane_mask(n), p)};
  }
  FOVEA_INLINE void store(Bfloat16* p) const { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
  FOVEA_INLINE void store_partial(Bfloat16* p, int n) const { _mm256_mask_storeu_epi16(p, avx512::lane_mask(n), v); }
};

using Mixed = simd::Mixed<F32, Half>;

}  // namespace avx512soft
}  // namespace simd
}  // namespace fovea
