// Pooling over one plane in the blocked layout: x is [H][W][16], y is [P][Q][16]. All sixteen lanes are computed; lanes
// of channels that do not exist are the caller's to clear. X is how x and dx lie in memory, Y how y and dy do: float,
// or Bfloat16 where the CPU has it.
#pragma once
#include <stdint.h>

#include "simd/bfloat16.h"

namespace fovea {

struct MaxPoolGeometry {
  int H, W, P, Q, R, S, sh, sw, top, left, dh, dw;
  bool asks;  // for rows of x before their turn: they come from memory, and no stride exceeds its window
};

// For each index of one axis a list: entries [start[i], start[i + 1]) of `other` and `tap`.
// In backward: the outputs whose window holds input i, and where in the window it stands.
struct AxisTaps {
  const int32_t *start, *other, *tap;
};

// Averages of rectangles. Forward: output p sums inputs [begin[p], end[p]). Backward: input h is in the windows of the
// outputs [begin[h], end[h]). divisor[p] * divisor_of_the_other_axis[q] is what the sum of window (p, q) is divided by.
struct AxisRanges {
  const int32_t *begin, *end;
  const float* divisor;
};

template <class X, class Y>
struct PoolKernelsOf {
  const char* isa;
  // A later element wins when it is larger, or is the first NaN. `index` is r * S + s; null where nobody asks. A window
  // that lies wholly in the padding gives -Inf and index 0.
  void (*max_u8)(const MaxPoolGeometry& g, const X* x, Y* y, uint8_t* index);
  void (*max_i32)(const MaxPoolGeometry& g, const X* x, Y* y, int32_t* index);
  // dx, every element written once: the sum in order of (p, q) of dy whose index names it.
  void (*max_backward_u8)(const MaxPoolGeometry& g, const AxisTaps& rows, const AxisTaps& cols, const Y* dy,
                          const uint8_t* index, X* dx);
  void (*max_backward_i32)(const MaxPoolGeometry& g, const AxisTaps& rows, const AxisTaps& cols, const Y* dy,
                           const int32_t* index, X* dx);
  void (*average)(const AxisRanges& rows, const AxisRanges& cols, int W, int P, int Q, const X* x, Y* y);
  void (*average_backward)(const AxisRanges& rows, const AxisRanges& cols, int H, int W, int Q, const Y* dy, X* dx);
};

using PoolKernels = PoolKernelsOf<float, float>;

struct PoolBf16Kernels {
  PoolKernelsOf<Bfloat16, Bfloat16> both;
  PoolKernelsOf<Bfloat16, float> images;   // alone
  PoolKernelsOf<float, Bfloat16> windows;  // alone
};

const PoolKernels& pool_kernels();
const PoolBf16Kernels* pool_bf16_kernels();  // null where the CPU, or the cap, has none

template <class X, class Y>
const PoolKernelsOf<X, Y>& pool_kernels_of();
template <>
inline const PoolKernels& pool_kernels_of() {
  return pool_kernels();
}
template <>
inline const PoolKernelsOf<Bfloat16, Bfloat16>& pool_kernels_of() {
  return pool_bf16_kernels()->both;
}
template <>
inline const PoolKernelsOf<Bfloat16, float>& pool_kernels_of() {
  return pool_bf16_kernels()->images;
}
template <>
inline const PoolKernelsOf<float, Bfloat16>& pool_kernels_of() {
  return pool_bf16_kernels()->windows;
}

extern const PoolKernels pool_scalar, pool_avx2, pool_avx512;
extern const PoolBf16Kernels pool_avx2bf16, pool_avx512soft, pool_avx512bf16;

}  // namespace fovea
