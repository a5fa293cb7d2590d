#include "kernels/int16/int16.inl.h"
#include "simd/vec_avx2int16.h"

namespace fovea {
INT16_INSTANCE(int16_avx2, simd::avx2int16::Int16Pairs, 6, 4, 1)
}  // namespace fovea
