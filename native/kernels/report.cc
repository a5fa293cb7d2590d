#include "kernels/report.h"

#include "kernels/brgemm/brgemm.h"
#include "kernels/eltwise/eltwise.h"
#include "kernels/layout/layout.h"
#include "kernels/norm/norm.h"
#include "kernels/optim/optim.h"
#include "kernels/pool/pool.h"
#include "kernels/reduce/reduce.h"
#include "kernels/softmax/softmax.h"

namespace fovea {

std::vector<std::pair<std::string, std::string>> kernel_report() {
  return {
      {"brgemm", brgemm_kernels().name},
#define KERNEL_FAMILY(Type, name) {#name, name##_kernels().isa},
#include "kernels/families.inc"
#undef KERNEL_FAMILY
  };
}

}  // namespace fovea
