#include "kernels/brgemm/brgemm.inl.h"
#include "simd/vec_scalar.h"

namespace fovea {
BRGEMM_INSTANCE(brgemm_2x16_scalar, simd::scalar::F32, 2, 1)
}  // namespace fovea
