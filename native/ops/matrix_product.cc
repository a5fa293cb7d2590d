#include "ops/matrix_product.h"

#include <utility>

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

const Algorithm<GemmProblem> kAlgorithms[] = {
    {"matvec", supports_matvec, make_matvec},
    {"brgemm", anything, make_gemm},
};

}  // namespace

Status make_product(const OpSpec& spec, const GemmProblem& problem, std::unique_ptr<Operation>* operation) {
  return make_best(kAlgorithms, spec, problem, operation);
}

}  // namespace fovea
