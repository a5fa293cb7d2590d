// Products with a few rows, as in inference on single images: bound by reading B, which is read once, where it lies.
#pragma once
#include "ops/matrix_product.h"

namespace fovea {

bool supports_matvec(const GemmProblem& problem);
Status make_matvec(const GemmProblem& problem, int threads, std::unique_ptr<MatrixProduct>* product);

}  // namespace fovea
