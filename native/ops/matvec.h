// Products with a few rows, as in inference on single images: bound by reading B, which is read once, where it lies.
#pragma once
#include "ops/matrix_product.h"

namespace fovea {

bool supports_matvec(const OpSpec& spec, const GemmProblem& problem);
Status make_matvec(const OpSpec& spec, const GemmProblem& problem, std::unique_ptr<Operation>* operation);

}  // namespace fovea
