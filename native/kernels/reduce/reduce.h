// Sums in double precision of float32 numbers, float32 only inside short runs.
#pragma once
#include <stdint.h>

namespace fovea {

struct ReduceKernels {
  const char* isa;
  double (*row_sum)(const float* x, int64_t n);
  // sums[j] += x[i * stride + j] over `rows` rows of n columns.
  void (*column_sums)(const float* x, int64_t rows, int64_t stride, int64_t n, double* sums);
};

const ReduceKernels& reduce_kernels();

extern const ReduceKernels reduce_scalar, reduce_avx2, reduce_avx512;

}  // namespace fovea
