// C[m×n] = act(A·B + bias) for plain matrices: what linear, its weight gradient and matmul are made of.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/operation.h"

namespace fovea {

struct GemmProblem {
  int64_t m = 0, n = 0, k = 0;
  // A(i, q) = a[i·a_row + q·a_column], B(q, j) = b[q·b_row + j·b_column]; one of each pair is 1. C is row-major and
  // dense.
  int64_t a_row = 0, a_column = 0, b_row = 0, b_column = 0;
  std::vector<int64_t> a_batch{0}, b_batch{0};  // for each product of the batch where its operands start, in floats
  bool bias = false, relu = false;              // bias[n]

  double flops() const {
    return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k) *
           static_cast<double>(a_batch.size());
  }
};

// One way to compute it.
class MatrixProduct {
 public:
  virtual ~MatrixProduct() = default;
  virtual size_t workspace_bytes() const = 0;
  virtual Status run(const RunContext& context, const float* a, const float* b, const float* bias, float* c,
                     std::byte* workspace) const = 0;
  virtual std::string describe() const = 0;
};

// By the first algorithm of the list that can.
Status make_product(const GemmProblem& problem, int threads, std::unique_ptr<MatrixProduct>* product);

}  // namespace fovea
