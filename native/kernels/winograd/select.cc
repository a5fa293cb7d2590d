#include "cpu/features.h"
#include "kernels/winograd/winograd.h"

namespace fovea {

const WinogradKernels& winograd_kernels() {
  struct Row {
    Isa needs;
    const WinogradKernels* kernels;
  };
  static const Row rows[] = {
#define WINOGRAD_KERNEL(name, needs) {needs, &name},
#include "kernels/winograd/kernels.inc"
#undef WINOGRAD_KERNEL
  };
  for (const Row& row : rows) {
    if (cpu_features().isa >= row.needs) return *row.kernels;
  }
  return *rows[sizeof(rows) / sizeof(rows[0]) - 1].kernels;
}

}  // namespace fovea
