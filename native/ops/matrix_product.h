// C[m×n] = act(A·B + bias) for plain matrices: what linear, its gradients and matmul are made of.
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
  size_t a_input = 0, b_input = 1;              // of the operation, whose output 0 is C
  bool bias = false, relu = false;              // input 2 is bias[n]

  double flops() const {
    return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k) *
           static_cast<double>(a_batch.size());
  }
  std::string key() const;  // sizes and strides

  const float* a(const RunContext& context) const { return context.in<float>(a_input); }
  const float* b(const RunContext& context) const { return context.in<float>(b_input); }
  const float* bias_of(const RunContext& context) const { return bias ? context.in<float>(2) : nullptr; }
  // Cᵀ = Bᵀ·Aᵀ: what is the bias of a column becomes that of a row.
  GemmProblem transposed() const;
};

// The best way to compute it.
Status make_product(const OpSpec& spec, const GemmProblem& problem, std::unique_ptr<Operation>* operation);

}  // namespace fovea
