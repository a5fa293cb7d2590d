#include "cpu/features.h"
#include "kernels/brgemm/brgemm.h"

namespace fovea {

const BrgemmKernels& brgemm_kernels() {
  struct Row {
    Isa needs;
    const BrgemmKernels* kernels;
  };
  static const Row rows[] = {
#define BRGEMM_KERNEL(name, needs, blocks, rows1, rows2, rows3, rows4) {needs, &name},
#include "kernels/brgemm/kernels.inc"
#undef BRGEMM_KERNEL
  };
  for (const Row& row : rows) {
    if (cpu_features().isa >= row.needs) return *row.kernels;
  }
  return *rows[sizeof(rows) / sizeof(rows[0]) - 1].kernels;
}

}  // namespace fovea
