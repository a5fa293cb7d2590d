// Batch normalisation over "pixels" of up to 16 channels: pixel i is the `lanes` floats at x + i * stride. The blocked
// layout is stride 16, lanes 16; a plain [N, C] matrix is stride C, 16 columns at a time; a run of one channel in a
// plain [N, C, ...] is stride 16 with sixteen copies of that channel's numbers. Only the first `lanes` lanes are
// touched. T is how x, y, dy and their like lie in memory: float, or Bfloat16 where the CPU has it.
#pragma once
#include <stdint.h>

#include "simd/bfloat16.h"

namespace fovea {

// Statistics so far of 16 lanes: `m2` is the sum of squared distances from the mean.
struct NormMoments {
  double count[16], mean[16], m2[16];
};

// y = (x - mean) * scale + shift. `shift` also carries what rounding `mean` to float32 lost.
struct NormAffine {
  float mean[16], scale[16], shift[16];
};

// Sums of g and of g * (x - mean), g being dy where the output was positive.
struct NormSums {
  double g[16], gx[16];
};

// dx = (g - offset - (x - mean) * slope) * scale
struct NormGradient {
  float mean[16], scale[16], offset[16], slope[16];
};

// A rectangle of one image's pixels in one block of 16 channels of the blocked layout: `row_step` pixels from one row
// to the next. All pointers that go with it point at its first pixel.
struct NormPart {
  int64_t rows, columns, row_step;
};

// Sums of (y - center) and its square over parts. `center` is chosen at the first part, when count is 0.
struct NormPartMoments {
  float center[16];
  double count, sum[16], square[16];
};

// g += add; g = 0 where the mask's bit is not set; sums over g and x as in NormSums. add, mask and x may be null.
template <class T>
struct NormPartGradient {
  T* g;
  const T* add;
  const uint8_t* mask;  // two bytes a pixel: bit i % 8 of byte i / 8 is lane i
  const T* x;
  const float* mean;
  NormSums* sums;
};

// y += add, and then a ReLU (NaN stays NaN).
template <class T>
struct NormPartAdd {
  T* y;
  const T* add;
  bool relu;
};

template <class T>
struct NormKernelsOf {
  const char* isa;
  // Adds pixels to `moments`, exactly rounded to about float32 whatever the mean: each run of 128 pixels is centred on
  // its own mean, the runs are merged in double precision by Chan, Golub and LeVeque (1979), "Updating formulae and a
  // pairwise algorithm for computing sample variances".
  void (*moments)(const T* x, int64_t pixels, int64_t stride, int lanes, NormMoments* moments);
  // residual may be null; y may be x or residual. mask: null, or the bits of y > 0 for each pixel, with
  // stride and lanes 16 and a ReLU.
  void (*normalize)(const T* x, const T* residual, T* y, int64_t pixels, int64_t stride, int lanes,
                    const NormAffine& affine, bool relu, uint8_t* mask);
  // y null: no ReLU. g null: the masked gradient is not kept; it may be dy.
  void (*gradient_sums)(const T* dy, const T* x, const T* y, T* g, int64_t pixels, int64_t stride, int lanes,
                        const float* mean, NormSums* sums);
  // x null: statistics that do not depend on x, dx = g * scale.
  void (*gradient_apply)(const T* dy, const T* x, const T* y, T* dx, int64_t pixels, int64_t stride, int lanes,
                         const NormGradient& gradient);
  void (*part_moments)(const T* y, const NormPart& part, NormPartMoments* moments);
  void (*part_mask)(const T* y, const NormPart& part, uint8_t* mask);
  void (*part_add)(const NormPart& part, const NormPartAdd<T>& call);
  void (*part_gradient)(const NormPart& part, const NormPartGradient<T>& call);
};

using NormKernels = NormKernelsOf<float>;

const NormKernels& norm_kernels();
const NormKernelsOf<Bfloat16>* norm_bf16_kernels();  // null where the CPU, or the cap, has none

template <class T>
const NormKernelsOf<T>& norm_kernels_of();
template <>
inline const NormKernelsOf<float>& norm_kernels_of() {
  return norm_kernels();
}
template <>
inline const NormKernelsOf<Bfloat16>& norm_kernels_of() {
  return *norm_bf16_kernels();
}

extern const NormKernels norm_scalar, norm_avx2, norm_avx512;
extern const NormKernelsOf<Bfloat16> norm_avx2bf16, norm_avx512soft, norm_avx512bf16;

}  // namespace fovea
