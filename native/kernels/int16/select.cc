#include "cpu/features.h"
#include "kernels/int16/int16.h"

namespace fovea {

const Int16Kernels* int16_kernels() {
#if defined(FOVEA_X86)
  if (cpu_features().isa >= Isa::kAvx512Bf16) return &int16_avx512bf16;
#endif
  return nullptr;
}

}  // namespace fovea
