// Softmax and cross entropy over rows (classes side by side) and over columns (the same pixel of every class `stride`
// apart, many pixels side by side). Everything is relative to the largest logit, so nothing overflows; a row that holds
// NaN or +Inf, or nothing but -Inf, becomes NaN.
#pragma once
#include <stdint.h>

namespace fovea {

struct SoftmaxKernels {
  const char* isa;
  // log(sum exp(x)) is max + log_sum. One row of n classes.
  void (*row_statistics)(const float* x, int64_t n, float* max, double* log_sum);
  void (*softmax_row)(const float* x, float* y, int64_t n, bool log);
  // y is the output of the forward pass: dx = y (dy - sum dy y), or dy - exp(y) sum dy.
  void (*softmax_row_backward)(const float* dy, const float* y, float* dx, int64_t n, bool log);
  // dx = exp(x - max - log_sum) * factor
  void (*scaled_probabilities)(const float* x, float max, float log_sum, float factor, float* dx, int64_t n);
  // The same for 1 to 16 columns, `classes` rows of them.
  void (*column_statistics)(const float* x, int64_t classes, int64_t stride, int lanes, float* max, double* log_sum);
  void (*softmax_columns)(const float* x, float* y, int64_t classes, int64_t stride, int lanes, bool log);
  void (*softmax_columns_backward)(const float* dy, const float* y, float* dx, int64_t classes, int64_t stride,
                                   int lanes, bool log);
  void (*scaled_probabilities_columns)(const float* x, const float* max, const float* log_sum, const float* factor,
                                       float* dx, int64_t classes, int64_t stride, int lanes);
};

const SoftmaxKernels& softmax_kernels();

extern const SoftmaxKernels softmax_scalar, softmax_avx2, softmax_avx512;

}  // namespace fovea
