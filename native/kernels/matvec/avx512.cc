#include "kernels/matvec/matvec.inl.h"
#include "simd/vec_avx512.h"

namespace fovea {
extern constexpr MatvecKernels matvec_avx512 = matvec::instance<simd::avx512::F32>("avx512");
}  // namespace fovea
