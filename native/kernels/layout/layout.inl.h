// The one template behind layout.h: squares of kLanes x kLanes are transposed in registers.
#pragma once
#include "kernels/layout/layout.h"
#include "simd/macros.h"

namespace fovea {
namespace layout {

template <class V>
void to_blocked(const float* plain, int64_t channel_stride, int channels, int64_t pixels, float* blocked) {
  constexpr int L = V::kLanes;
  for (int64_t i = 0; i < pixels; i += L) {
    const int n = pixels - i < L ? int(pixels - i) : L;
    for (int c = 0; c < 16; c += L) {
      V rows[L];
      UNROLL for (int j = 0; j < L; ++j) {
        const float* const p = plain + (c + j) * channel_stride + i;
        rows[j] = c + j >= channels ? V::zero() : n == L ? V::load(p) : V::load_partial(p, n);
      }
      if (c < channels) transpose(rows);
      float* const out = blocked + i * 16 + c;
      if (n == L) {
        UNROLL for (int j = 0; j < L; ++j)
          rows[j].store(out + j * 16);
      } else {
        UNROLL for (int j = 0; j < L; ++j)
          if (j < n) rows[j].store(out + j * 16);
      }
    }
  }
}

template <class V>
void from_blocked(const float* blocked, int64_t channel_stride, int channels, int64_t pixels, float* plain) {
  constexpr int L = V::kLanes;
  for (int64_t i = 0; i < pixels; i += L) {
    const int n = pixels - i < L ? int(pixels - i) : L;
    for (int c = 0; c < channels; c += L) {
      V rows[L];
      const float* const in = blocked + i * 16 + c;
      UNROLL for (int j = 0; j < L; ++j)
        rows[j] = j < n ? V::load(in + j * 16) : V::zero();
      transpose(rows);
      UNROLL for (int j = 0; j < L; ++j) {
        float* const p = plain + (c + j) * channel_stride + i;
        if (c + j >= channels) continue;
        if (n == L) {
          rows[j].store(p);
        } else {
          rows[j].store_partial(p, n);
        }
      }
    }
  }
}

template <class V>
constexpr LayoutKernels instance(const char* isa) {
  return {isa, to_blocked<V>, from_blocked<V>};
}

}  // namespace layout
}  // namespace fovea
