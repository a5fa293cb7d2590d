#include "kernels/winograd/winograd.inl.h"
#include "simd/vec_avx2.h"

namespace fovea {
WINOGRAD_INSTANCE(winograd_avx2, simd::avx2::F32, 6, 1, 6, 1, 6, 1, true)
}  // namespace fovea
