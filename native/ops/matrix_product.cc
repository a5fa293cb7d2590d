#include "ops/matrix_product.h"

#include "ops/gemm.h"
#include "ops/matvec.h"

namespace fovea {

namespace {

struct Algorithm {
  bool (*supports)(const GemmProblem& problem);
  Status (*make)(const GemmProblem& problem, int threads, std::unique_ptr<MatrixProduct>* product);
};

const Algorithm kAlgorithms[] = {
    {supports_matvec, make_matvec},
    {[](const GemmProblem&) { return true; }, make_gemm},
};

}  // namespace

Status make_product(const GemmProblem& problem, int threads, std::unique_ptr<MatrixProduct>* product) {
  for (const Algorithm& algorithm : kAlgorithms) {
    if (algorithm.supports(problem)) return algorithm.make(problem, threads, product);
  }
  return {Code::kBackend, "matrix product: no algorithm"};
}

}  // namespace fovea
