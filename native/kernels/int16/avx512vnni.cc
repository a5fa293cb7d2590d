#include "kernels/int16/int16.inl.h"
#include "simd/vec_avx512vnni.h"

namespace fovea {
INT16_INSTANCE(int16_avx512vnni, simd::avx512vnni::Int16Pairs, 14, 8, 2)
}  // namespace fovea
