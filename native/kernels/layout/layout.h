// One block of 16 channels between [C][pixels] (channel c at c * channel_stride) and [pixels][16].
#pragma once
#include <stdint.h>

namespace fovea {

struct LayoutKernels {
  const char* isa;
  // Lanes from `channels` (1 to 16) on become zero.
  void (*to_blocked)(const float* plain, int64_t channel_stride, int channels, int64_t pixels, float* blocked);
  void (*from_blocked)(const float* blocked, int64_t channel_stride, int channels, int64_t pixels, float* plain);
};

const LayoutKernels& layout_kernels();

extern const LayoutKernels layout_scalar, layout_avx2, layout_avx512;

}  // namespace fovea
