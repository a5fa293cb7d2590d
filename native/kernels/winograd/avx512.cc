#include "kernels/winograd/winograd.inl.h"
#include "simd/vec_avx512.h"

namespace fovea {
WINOGRAD_INSTANCE(winograd_avx512, simd::avx512::F32, 6, 4, 7, 2, 8, 2, true)
}  // namespace fovea
