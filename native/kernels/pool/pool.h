// Pooling over one plane in the blocked layout: x is [H][W][16], y is [P][Q][16]. All sixteen lanes are computed; lanes
// of channels that do not exist are the caller's to clear.
#pragma once
#include <stdint.h>

namespace fovea {

struct MaxPoolGeometry {
  int H, W, P, Q, R, S, sh, sw, top, left, dh, dw;
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

struct PoolKernels {
  const char* isa;
  // A later element wins when it is larger, or is the first NaN. `index` is r * S + s; null where nobody asks. A window
  // that lies wholly in the padding gives -Inf and index 0.
  void (*max_u8)(const MaxPoolGeometry& g, const float* x, float* y, uint8_t* index);
  void (*max_i32)(const MaxPoolGeometry& g, const float* x, float* y, int32_t* index);
  // dx, every element written once: the sum in order of (p, q) of dy whose index names it.
  void (*max_backward_u8)(const MaxPoolGeometry& g, const AxisTaps& rows, const AxisTaps& cols, const float* dy,
                          const uint8_t* index, float* dx);
  void (*max_backward_i32)(const MaxPoolGeometry& g, const AxisTaps& rows, const AxisTaps& cols, const float* dy,
                           const int32_t* index, float* dx);
  void (*average)(const AxisRanges& rows, const AxisRanges& cols, int W, int P, int Q, const float* x, float* y);
  void (*average_backward)(const AxisRanges& rows, const AxisRanges& cols, int H, int W, int Q, const float* dy,
                           float* dx);
};

const PoolKernels& pool_kernels();

extern const PoolKernels pool_scalar, pool_avx2, pool_avx512;

}  // namespace fovea
