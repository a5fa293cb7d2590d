#include "kernels/brgemm/brgemm.inl.h"
#include "simd/vec_scalar.h"

namespace fovea {
BRGEMM_INSTANCE(brgemm_scalar, simd::scalar::F32, 2)
}  // namespace fovea
