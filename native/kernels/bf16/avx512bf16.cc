#include "kernels/bf16/bf16.h"
#include "simd/vec_avx512bf16.h"

namespace fovea {
namespace {

using namespace simd::avx512bf16;

// The planes of sixteen values.
template <int P>
struct Split {
  Half plane[P];

  explicit FOVEA_INLINE Split(F32 x) {
    UNROLL for (int p = 0; p < P; ++p) {
      plane[p] = round_bf16(x);
      if (p + 1 < P) x = x - widen(plane[p]);
    }
  }
};

template <int P>
void pixels(const float* first, const float* second, ptrdiff_t step, ptrdiff_t count, float* words, ptrdiff_t plane) {
  for (ptrdiff_t i = 0; i < count; ++i, words += 16) {
    const Split<P> low(F32::load(first + 16 * step * i));
    const Split<P> high(second ? F32::load(second + 16 * step * i) : F32::zero());
    UNROLL for (int p = 0; p < P; ++p) {
      store(low.plane[p], words + p * plane);
      store(high.plane[p], words + p * plane + 8);
    }
  }
}

template <int P>
void rows(const float* rows, ptrdiff_t count, float* words, ptrdiff_t plane) {
  for (ptrdiff_t q = 0; q < count; ++q, rows += 32, words += 16) {
    const Split<P> even(F32::load(rows)), odd(F32::load(rows + 16));
    UNROLL for (int p = 0; p < P; ++p)
      interleave(even.plane[p], odd.plane[p]).store(words + p * plane);
  }
}

template <int P>
void channels(const float* pixels, ptrdiff_t step, ptrdiff_t count, float* words, ptrdiff_t row, ptrdiff_t plane) {
  for (ptrdiff_t i = 0; i < count; i += 16) {
    F32 square[16];
    UNROLL for (int j = 0; j < 16; ++j)
      square[j] = i + j < count ? F32::load(pixels + 16 * step * (i + j)) : F32::zero();
    transpose(square);
    UNROLL for (int c = 0; c < 16; ++c) {
      const Split<P> split(square[c]);
      UNROLL for (int p = 0; p < P; ++p)
        store(split.plane[p], words + c * row + i / 2 + p * plane);
    }
  }
}

#define BF16_BY_PLANES(name, ...) \
  planes == 1 ? name<1>(__VA_ARGS__) : planes == 2 ? name<2>(__VA_ARGS__) : name<3>(__VA_ARGS__)

void any_pixels(const float* first, const float* second, ptrdiff_t step, ptrdiff_t count, int planes, float* words,
                ptrdiff_t plane) {
  BF16_BY_PLANES(pixels, first, second, step, count, words, plane);
}
void any_rows(const float* from, ptrdiff_t count, int planes, float* words, ptrdiff_t plane) {
  BF16_BY_PLANES(rows, from, count, words, plane);
}
void any_channels(const float* from, ptrdiff_t step, ptrdiff_t count, int planes, float* words, ptrdiff_t row,
                  ptrdiff_t plane) {
  BF16_BY_PLANES(channels, from, step, count, words, row, plane);
}

#undef BF16_BY_PLANES

}  // namespace

extern constexpr Bf16Kernels bf16_avx512bf16 = {"avx512bf16", any_pixels, any_rows, any_channels};

}  // namespace fovea
