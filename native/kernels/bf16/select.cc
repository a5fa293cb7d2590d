#include "cpu/features.h"
#include "kernels/bf16/bf16.h"

namespace fovea {

const Bf16Kernels* bf16_kernels() {
#if defined(FOVEA_X86)
  if (cpu_features().isa >= Isa::kAvx512Bf16) return &bf16_avx512bf16;
#endif
  return nullptr;
}

}  // namespace fovea
