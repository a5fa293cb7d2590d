#include "ops/registry.h"

#include "kernels/layout/layout.h"
#include "ops/operations.h"

namespace fovea {

const std::vector<OpEntry>& registry() {
  // Never destroyed: process.exit() may run static destructors while a program still runs.
  static const std::vector<OpEntry>& rows = *new std::vector<OpEntry>{
#define OPERATOR(name, inputs, outputs) {#name, inputs, outputs, &make_##name, false},
#define OPERATOR_F64(name, inputs, outputs) {#name, inputs, outputs, &make_##name, true},
#include "ops/operators.inc"
#undef OPERATOR_F64
#undef OPERATOR
  };
  return rows;
}

const OpEntry* find_operator(const std::string& name) {
  for (const OpEntry& entry : registry()) {
    if (name == entry.name) return &entry;
  }
  return nullptr;
}

const StorageEntry* find_storage(const std::string& name) {
  static constexpr StorageEntry rows[] = {
#define STORAGE(name, inputs, outputs) {#name, inputs, outputs},
#include "ops/storage.inc"
#undef STORAGE
  };
  for (const StorageEntry& entry : rows) {
    if (name == entry.name) return layout_bf16_kernels() ? &entry : nullptr;
  }
  return nullptr;
}

}  // namespace fovea
