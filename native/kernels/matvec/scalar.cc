#include "kernels/matvec/matvec.inl.h"
#include "simd/vec_scalar.h"

namespace fovea {
extern constexpr MatvecKernels matvec_scalar = matvec::instance<simd::scalar::F32>("baseline");
}  // namespace fovea
