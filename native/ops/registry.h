// The one list of native operators. lib/backend/native.ts reads it through the binding; nothing else names them again.
#pragma once
#include <memory>
#include <vector>

#include "runtime/operation.h"

namespace fovea {

// Checks the whole spec for memory safety (present operands, dtypes, ranks, sizes that agree with the attributes, no
// overflow) and plans. A spec that make() accepts may be run on buffers of exactly Operand::bytes().
using MakeOperation = Status (*)(const OpSpec& spec, std::unique_ptr<Operation>* operation);

// One letter per operand: P plain, B blocked, X either (make() looks at Operand::layout), E like the first E operand.
// The last letter of `inputs` and of `outputs` repeats for variadic operators.
struct OpEntry {
  const char* name;
  const char* inputs;
  const char* outputs;
  MakeOperation make;
  bool takes_float64;  // for hyperparameters; tensors of float64 are computed by the reference backend
};

const std::vector<OpEntry>& registry();  // rows stand in operators.inc, one line per operator
const OpEntry* find_operator(const std::string& name);

// The operators that read or write values that lie in memory as bfloat16. One letter per operand, of which the last
// repeats: - float32 only, b either, g as all other g operands of the step.
struct StorageEntry {
  const char* name;
  const char* inputs;
  const char* outputs;
};

// Null for an operator that has none, or where the CPU has no kernels for them.
const StorageEntry* find_storage(const std::string& name);  // rows stand in storage.inc

}  // namespace fovea
