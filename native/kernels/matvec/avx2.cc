#include "kernels/matvec/matvec.inl.h"
#include "simd/vec_avx2.h"

namespace fovea {
extern constexpr MatvecKernels matvec_avx2 = matvec::instance<simd::avx2::F32>("avx2");
}  // namespace fovea
