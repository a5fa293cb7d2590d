#include "ops/matrix_product.h"

#include <algorithm>
#include <utility>

#include "ops/bf16_products.h"
#include "ops/gemm.h"
#include "ops/matvec.h"
#include "ops/plan.h"

namespace fovea {

std::string GemmProblem::key() const {
  std::string key;
  for (int64_t number : {m, n, k, a_row, a_column, b_row, b_column, static_cast<int64_t>(a_batch.size())})
    key += std::to_string(number) + " ";
  return key + (bias ? "bias" : "none");
}

GemmProblem GemmProblem::transposed() const {
  GemmProblem p = *this;
  std::swap(p.m, p.n);
  std::swap(p.a_row, p.b_column);
  std::swap(p.a_column, p.b_row);
  std::swap(p.a_batch, p.b_batch);
  std::swap(p.a_input, p.b_input);
  return p;
}

namespace {

bool anything(const OpSpec&, const GemmProblem&) { return true; }

bool bf16_possible(const OpSpec&, const GemmProblem&) { return brgemm_bf16_kernels() != nullptr; }

// Of fewer rows or columns each packed value is used too seldom, and shorter sums are filled up to 32 products: on Zen
// 4 'medium' then takes 1.1 to 1.7 times as long as float32, else half.
bool bf16_wins(const OpSpec& spec, const GemmProblem& p) {
  return bf16_possible(spec, p) && bf16_pays(spec.precision) && p.k >= 24 && std::min(p.m, p.n) > 8;
}

const Algorithm<GemmProblem> kAlgorithms[] = {
    {"matvec", supports_matvec, make_matvec},
    {"bf16", bf16_wins, in_bf16<make_gemm>, kTiled},
    {"brgemm", anything, in_float32<make_gemm>, kTiled},
    {"bf16", bf16_possible, in_bf16<make_gemm>, kTiled},  // where the model does not prefer it: measured, or by name
};

}  // namespace

Status make_product(const OpSpec& spec, const GemmProblem& problem, std::unique_ptr<Operation>* operation) {
  return make_best(kAlgorithms, spec, problem, operation);
}

}  // namespace fovea
