// Products of a few rows with a matrix that is read once, where it lies: packing it would cost more than multiplying.
#pragma once
#include <stdint.h>

namespace fovea {

constexpr int kMatvecRows = 4;  // beyond, packing pays

// C(i, j) = Σ_q A(i, q) · B(q, j), + bias[j] if there is one, ReLU (NaN stays NaN); 1 <= m <= kMatvecRows. No alignment
// is needed, nothing outside the operands is touched. An element's bits depend on k and its operands alone, not on m, n
// or the strides.
struct MatvecCall {
  int64_t m, n, k;
  const float* a;
  int64_t a_row;  // A(i, q) = a[i·a_row + q]
  const float* b;
  int64_t b_step;
  float* c;
  int64_t c_row, c_column;  // C(i, j) = c[i·c_row + j·c_column]
  const float* bias;        // or null
  bool relu;
};

struct MatvecKernels {
  const char* isa;
  void (*dots)(const MatvecCall& call);  // B(q, j) = b[j·b_step + q]: a dot product for each element
  void (*sums)(const MatvecCall& call);  // B(q, j) = b[q·b_step + j]: a weighted sum of B's rows; c_column is 1
};

const MatvecKernels& matvec_kernels();

extern const MatvecKernels matvec_scalar, matvec_avx2, matvec_avx512;

}  // namespace fovea
