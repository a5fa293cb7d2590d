// Depthwise convolution of one block of 16 channels: each channel has a filter of its own, so lanes never mix.
#pragma once
#include <stddef.h>

namespace fovea {

// y[i·y_step + lane] = act(bias[lane] + Σ_t x[offsets[t] + 16·i + lane] · weight[16·t + lane]) for 0 <= i < count
// pixels.
struct DepthwiseCall {
  const float* x;
  const ptrdiff_t* offsets;
  ptrdiff_t taps;
  const float* weight;
  const float* bias;  // 16, or null
  bool relu;
  float* y;
  ptrdiff_t y_step, count;
};

// sums[16·t + lane] += Σ_i x[offsets[t] + 16·i + lane] · dy[16·i + lane], and after the taps 16 sums of dy alone.
struct DepthwiseGradCall {
  const float* x;
  const ptrdiff_t* offsets;
  ptrdiff_t taps;
  const float* dy;
  ptrdiff_t count;
  float* sums;
};

// Every sum starts from zero in a register and runs over the taps, or over the pixels, in order.
struct DepthwiseKernels {
  const char* isa;
  void (*forward)(const DepthwiseCall& call);
  void (*gradient)(const DepthwiseGradCall& call);
};

const DepthwiseKernels& depthwise_kernels();

extern const DepthwiseKernels depthwise_scalar, depthwise_avx2, depthwise_avx512;

}  // namespace fovea
