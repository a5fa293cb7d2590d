// Depthwise convolution of one block of 16 channels, and convolution in groups of 2, 4 or 8 channels. In a group of G
// channels output lane l has G products with each pixel: with lanes l ^ q, 0 <= q < G. Products are summed for each q
// where the operand's lane stands, with the weight of the output that they belong to; the sums change lanes at the end.
#pragma once
#include <stddef.h>

#include "simd/bfloat16.h"

namespace fovea {

constexpr int kMostRun = 7;
// Where a tap reads, in elements from the x of the call, and its weights or sums, from the weight or sums of the call:
// [q][16]. `run`: as many taps from this one on, at most kMostRun, read neighbouring pixels.
struct DepthwiseTap {
  ptrdiff_t x, at;
  int run = 1;
};

// What the next call will read, [at, end): so many bytes are asked for with each pixel, so that memory works meanwhile.
struct DepthwiseAhead {
  const char *at = nullptr, *end = nullptr;
  ptrdiff_t bytes = 0;
};

// y[n, r, i][l] = act(bias[n][l] + sum over taps t and q of x[t, n, r, i][l ^ q] * weight[n][t][q][l ^ q]), for
// 0 <= n < planes, 0 <= r < rows and 0 <= i < count. Many small planes in one call take the same branches. T: how
// pixels lie in memory, as float or as Bfloat16.
template <class T>
struct DepthwiseCallOf {
  const T* x;
  ptrdiff_t x_row, x_step;  // from one r, one i, to the next
  const DepthwiseTap* taps;
  ptrdiff_t tap_count;
  const float* weight;
  const float* bias;  // [n][16], or null
  bool relu;
  bool past_caches;  // y need not stay in the caches: a hint, see BrgemmCall
  T* y;
  ptrdiff_t y_row, y_step;
  ptrdiff_t rows, count;
  ptrdiff_t planes, x_plane, y_plane, weight_plane;  // how many, and from one n to the next
  DepthwiseAhead *x_ahead, *y_ahead;
};

// The same for rows that are whole: `count` pixels of x and of y, with steps of 16. Taps come in rows of `width`, 3, 5
// or 7, which reach (width - 1) / 2 pixels to both sides of their own; what lies beyond the row is left out. The x of
// each first tap says where column 0 stands.
template <class T>
struct DepthwiseWhole {
  int most_pixels;
  void (*forward)(const DepthwiseCallOf<T>& call, int width);
};

using DepthwiseCall = DepthwiseCallOf<float>;

// sums[t][q][l] += sum over n, r and i of x[t, n, r, i][l] * dy[n, r, i][l ^ q]; and bias[l] those of dy alone, unless
// it is null. T: how pixels lie in memory; where there are products of bfloat16, denormals count as zero.
template <class T>
struct DepthwiseGradCallOf {
  const T* x;
  ptrdiff_t x_row, x_step;
  const DepthwiseTap* taps;
  ptrdiff_t tap_count;
  const T* dy;  // pixels of a row follow each other
  ptrdiff_t dy_row;
  ptrdiff_t rows, count;
  ptrdiff_t images, x_image, dy_image;  // how many, and from one n to the next
  float* sums;
  float* bias;
  DepthwiseAhead x_ahead, dy_ahead;  // of image 0; those of image n stand n * x_image, n * dy_image further on
};

using DepthwiseGradCall = DepthwiseGradCallOf<float>;

constexpr int kDepthwiseGroups = 4;  // of 1, 2, 4 and 8 channels

// Every sum starts from zero in a register and runs over the taps, or over the pixels, in order; where there are
// products of bfloat16, over pixels that lie so two at a time.
struct DepthwiseKernels {
  const char* isa;
  void (*forward[kDepthwiseGroups])(const DepthwiseCall& call);
  DepthwiseWhole<float> whole;
  void (*gradient[kDepthwiseGroups])(const DepthwiseGradCall& call);
};

const DepthwiseKernels& depthwise_kernels();

extern const DepthwiseKernels depthwise_scalar, depthwise_avx2, depthwise_avx512;

// For pixels that lie as bfloat16. Null where the CPU, or the cap, has none.
struct DepthwiseBf16Kernels {
  void (*forward[kDepthwiseGroups])(const DepthwiseCallOf<Bfloat16>& call);
  DepthwiseWhole<Bfloat16> whole;
  void (*gradient[kDepthwiseGroups])(const DepthwiseGradCallOf<Bfloat16>& call);
};
const DepthwiseBf16Kernels* depthwise_bf16_kernels();

extern const DepthwiseBf16Kernels depthwise_avx2bf16, depthwise_avx512soft, depthwise_avx512bf16;

}  // namespace fovea
