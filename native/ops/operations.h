// A make function for every operator in operators.inc; each is defined in the file named after the operator.
#pragma once
#include <memory>

#include "runtime/operation.h"

namespace fovea {

#define OPERATOR(name, inputs, outputs) Status make_##name(const OpSpec& spec, std::unique_ptr<Operation>* operation);
#define OPERATOR_F64 OPERATOR
#include "ops/operators.inc"
#undef OPERATOR_F64
#undef OPERATOR

}  // namespace fovea
