// Convolution of stride 1 from many planes into a few: lanes are neighbouring pixels, so that no lane is idle however
// few channels come out.
#pragma once
#include <stddef.h>

namespace fovea {

constexpr int kPlanesMost = 8;  // channels that come out

// y[c·y_plane + i] (+)= Σ over k, then over taps t, of x[k·x_plane + offsets[t] + i] · weight[(k·taps + t)·channels +
// c] for 0 <= i < count, a multiple of 16.
struct PlanesCall {
  const float* x;
  ptrdiff_t x_plane, x_planes;
  const ptrdiff_t* offsets;
  ptrdiff_t taps;
  const float* weight;
  float* y;
  ptrdiff_t y_plane, count;
  bool accumulate;
};

// Every sum starts from zero in a register and runs in the order of the formula; it is then
// added to y (accumulate) or stored.
struct PlanesKernels {
  const char* isa;
  void (*forward[kPlanesMost])(const PlanesCall& call);  // [channels - 1]
};

const PlanesKernels& planes_kernels();

extern const PlanesKernels planes_scalar, planes_avx2, planes_avx512;

}  // namespace fovea
