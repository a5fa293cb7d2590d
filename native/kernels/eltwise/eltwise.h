// Kernels over flat runs of floats. Buffers may be equal (in place) but may not overlap otherwise; no alignment is
// asked for; nothing outside the n elements is read or written.
#pragma once
#include <stdint.h>

#include "simd/bfloat16.h"

namespace fovea {

// y[i] = a[i * a_step] op b[i * b_step], steps 0 or 1.
template <class T>
using BinaryKernelOf = void (*)(const T* a, int a_step, const T* b, int b_step, T* y, int64_t n);
using BinaryKernel = BinaryKernelOf<float>;

// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11) keyed by `key`; the counter of
// element i is (i / 4 low, i / 4 high, run low, run high) and its random word is number i % 4 of the four.
// Element i is kept when word >= threshold, that is when word * 2^-32 >= p for threshold = ceil(p * 2^32).
struct DropoutParams {
  uint32_t key[2], run[2];
  uint64_t threshold;
  float scale;  // float32(1 / (1 - p)): a kept element becomes x * scale in float32, a dropped one +0
};

struct EltwiseKernels {
  const char* isa;
  void (*relu)(const float* x, float* y, int64_t n);                             // x < 0 becomes 0; NaN stays
  void (*relu_backward)(const float* dy, const float* y, float* dx, int64_t n);  // dy where y > 0, else 0
  BinaryKernel add, sub, mul;
  void (*accumulate)(const float* x, float* y, int64_t n);  // y += x
  // y = (x * scale - mean) / std, each operation rounded to float32.
  void (*normalize_f32)(const float* x, float scale, float mean, float std, float* y, int64_t n);
  void (*normalize_u8)(const uint8_t* x, float scale, float mean, float std, float* y, int64_t n);
  // Elements first .. first + n of the logical order; x and y point at element `first`.
  void (*dropout)(const float* x, float* y, uint64_t first, int64_t n, const DropoutParams& params);
  // `pixels` pixels of 16 lanes; lane c of pixel i is element first + c * lane_stride + i of the logical order.
  void (*dropout_blocked)(const float* x, float* y, uint64_t first, uint64_t lane_stride, int64_t pixels,
                          const DropoutParams& params);
};

// Those of them that take values which lie in memory as bfloat16: computed in float32, rounded when stored.
struct EltwiseBf16Kernels {
  const char* isa;
  void (*relu)(const Bfloat16* x, Bfloat16* y, int64_t n);
  void (*relu_backward)(const Bfloat16* dy, const Bfloat16* y, Bfloat16* dx, int64_t n);
  BinaryKernelOf<Bfloat16> add, sub, mul;
};

const EltwiseKernels& eltwise_kernels();           // for this CPU, under the cap
const EltwiseBf16Kernels* eltwise_bf16_kernels();  // null where it has none

// Of one form in memory: float or Bfloat16.
template <class T>
const auto& eltwise_kernels_of();
template <>
inline const auto& eltwise_kernels_of<float>() {
  return eltwise_kernels();
}
template <>
inline const auto& eltwise_kernels_of<Bfloat16>() {
  return *eltwise_bf16_kernels();
}

extern const EltwiseKernels eltwise_scalar, eltwise_avx2, eltwise_avx512;
extern const EltwiseBf16Kernels eltwise_avx2bf16, eltwise_avx512soft, eltwise_avx512bf16;

}  // namespace fovea
