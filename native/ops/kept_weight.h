// What a forward convolution makes of its weight and bias, inputs 1 and 2: in memory that stays where it keeps it
// (Operation::kept), else at the start of the workspace.
#pragma once
#include "runtime/operation.h"

namespace fovea {

// Whether it keeps it: those inputs are steady.
inline bool keeps_weight(const OpSpec& spec) {
  const bool has_bias = spec.inputs.size() > 2 && spec.inputs[2].present;
  return spec.inputs[1].steady && (!has_bias || spec.inputs[2].steady);
}

inline Kept kept_weight(bool keeps, int64_t floats) {
  constexpr uint32_t kInputs = 1 << 1 | 1 << 2;
  return keeps ? Kept{static_cast<size_t>(floats) * sizeof(float), kInputs} : Kept{};
}

// Where its floats lie, and where the workspace goes on.
struct WeightMemory {
  float *made, *rest;
};
inline WeightMemory weight_memory(const RunContext& context, std::byte* workspace, bool keeps, int64_t floats) {
  float* const own = reinterpret_cast<float*>(workspace);
  return keeps ? WeightMemory{reinterpret_cast<float*>(context.kept), own} : WeightMemory{own, own + floats};
}

}  // namespace fovea
