#include "kernels/bf16/bf16.h"
#include "simd/vec_avx512bf16.h"

namespace fovea {
namespace {

using namespace simd::avx512bf16;

// The planes of thirty-two values.
template <int P>
struct Split {
  Halves plane[P];

  FOVEA_INLINE Split(F32 low, F32 high) {
    UNROLL for (int p = 0; p < P; ++p) {
      plane[p] = round_bf16(low, high);
      if (p + 1 < P) low = low - widen(lower(plane[p])), high = high - widen(upper(plane[p]));
    }
  }
};

template <int P>
void pixels(const float* first, const float* second, ptrdiff_t step, ptrdiff_t count, float* words, ptrdiff_t plane) {
  const auto add = [&](F32 low, F32 high) {
    const Split<P> split(low, high);
    UNROLL for (int p = 0; p < P; ++p)
      store(split.plane[p], words + p * plane);
    words += 16;
  };
  if (!second) {
    for (ptrdiff_t i = 0; i < count; ++i) add(F32::load(first + 16 * step * i), F32::zero());
    return;
  }
  for (ptrdiff_t i = 0; i < count; ++i) add(F32::load(first + 16 * step * i), F32::load(second + 16 * step * i));
}

template <int P>
void rows(const float* rows, ptrdiff_t count, float* words, ptrdiff_t plane) {
  for (ptrdiff_t q = 0; q < count; ++q, rows += 32, words += 16) {
    const Split<P> split(F32::load(rows), F32::load(rows + 16));
    UNROLL for (int p = 0; p < P; ++p)
      interleave(split.plane[p]).store(words + p * plane);
  }
}

// Pairs of pixels as words first, so that what is transposed is half as much.
template <int P>
void channels(const float* pixels, ptrdiff_t step, ptrdiff_t count, float* words, ptrdiff_t row, ptrdiff_t plane) {
  const auto at = [&](ptrdiff_t i) { return i < count ? F32::load(pixels + 16 * step * i) : F32::zero(); };
  for (ptrdiff_t i = 0; i < count; i += 32) {
    F32 square[P][16];
    UNROLL for (int j = 0; j < 16; ++j) {
      const Split<P> split(at(i + 2 * j), at(i + 2 * j + 1));
      UNROLL for (int p = 0; p < P; ++p)
        square[p][j] = interleave(split.plane[p]);
    }
    UNROLL for (int p = 0; p < P; ++p) {
      transpose(square[p]);
      UNROLL for (int c = 0; c < 16; ++c)
        square[p][c].store(words + c * row + i / 2 + p * plane);
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
