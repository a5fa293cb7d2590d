// Picks each family's instance for this CPU, under the cap.
#include "cpu/features.h"
#include "kernels/brgemm/brgemm.h"
#include "kernels/depthwise/depthwise.h"
#include "kernels/eltwise/eltwise.h"
#include "kernels/layout/layout.h"
#include "kernels/matvec/matvec.h"
#include "kernels/norm/norm.h"
#include "kernels/optim/optim.h"
#include "kernels/planes/planes.h"
#include "kernels/pool/pool.h"
#include "kernels/reduce/reduce.h"
#include "kernels/report.h"
#include "kernels/softmax/softmax.h"
#include "kernels/winograd/winograd.h"

namespace fovea {

#ifdef FOVEA_X86
#define KERNEL_FAMILY(Type, name)                           \
  const Type##Kernels& name##_kernels() {                   \
    const Isa isa = cpu_features().isa;                     \
    if (isa >= Isa::kAvx512) return name##_avx512;          \
    return isa >= Isa::kAvx2 ? name##_avx2 : name##_scalar; \
  }
#else
#define KERNEL_FAMILY(Type, name) \
  const Type##Kernels& name##_kernels() { return name##_scalar; }
#endif
#include "kernels/families.inc"
#undef KERNEL_FAMILY

// For values that lie in memory as bfloat16: all families, or none.
#ifdef FOVEA_X86
#define BF16_FAMILY(Type, name)                             \
  const Type* name##_bf16_kernels() {                       \
    const Isa isa = cpu_features().isa;                     \
    if (isa >= Isa::kAvx512Bf16) return &name##_avx512bf16; \
    if (isa >= Isa::kAvx512) return &name##_avx512soft;     \
    return isa >= Isa::kAvx2 ? &name##_avx2bf16 : nullptr;  \
  }
#else
#define BF16_FAMILY(Type, name) \
  const Type* name##_bf16_kernels() { return nullptr; }
#endif
BF16_FAMILY(DepthwiseBf16Kernels, depthwise)
BF16_FAMILY(EltwiseBf16Kernels, eltwise)
BF16_FAMILY(LayoutBf16Kernels, layout)
BF16_FAMILY(NormKernelsOf<Bfloat16>, norm)
BF16_FAMILY(PoolBf16Kernels, pool)
BF16_FAMILY(WinogradBf16Kernels, winograd)
#undef BF16_FAMILY

std::vector<std::pair<std::string, std::string>> kernel_report() {
  return {
      {"brgemm", brgemm_kernels().name},
      {"winograd", winograd_kernels().name},
#define KERNEL_FAMILY(Type, name) {#name, name##_kernels().isa},
#include "kernels/families.inc"
#undef KERNEL_FAMILY
  };
}

}  // namespace fovea
