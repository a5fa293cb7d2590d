#include "kernels/eltwise/eltwise.inl.h"
#include "simd/vec_avx512bf16.h"

namespace fovea {

using simd::avx512bf16::Mixed;

extern constexpr EltwiseBf16Kernels eltwise_avx512bf16 = {"avx512bf16",
                                                          eltwise::relu<Mixed, Bfloat16>,
                                                          eltwise::relu_backward<Mixed, Bfloat16>,
                                                          eltwise::binary<Mixed, eltwise::Add, Bfloat16>,
                                                          eltwise::binary<Mixed, eltwise::Sub, Bfloat16>,
                                                          eltwise::binary<Mixed, eltwise::Mul, Bfloat16>};

}  // namespace fovea
