// One parameter's share of an optimizer step. Outputs may be their inputs (in place).
#pragma once
#include <stdint.h>

namespace fovea {

// torch.optim.SGD. momentum 0 leaves the buffer alone; first: the buffer becomes the gradient.
struct SgdParams {
  float lr, momentum, one_minus_dampening, weight_decay;
  bool first, nesterov, maximize;
};

// torch.optim.Adam and AdamW (decoupled), with what depends on the step worked out in double precision.
struct AdamParams {
  float beta2, eps, weight_decay;
  float lerp, one_minus_beta2;       // 1 - beta1, 1 - beta2
  float step_size, root_correction;  // lr / (1 - beta1^t), sqrt(1 - beta2^t)
  float decay;                       // 1 - lr * weight_decay, for decoupled
  bool decoupled, maximize;
};

struct OptimKernels {
  const char* isa;
  // m and m_out are null where there is no momentum.
  void (*sgd)(const float* p, const float* g, const float* m, float* p_out, float* m_out, int64_t n,
              const SgdParams& params);
  void (*adam)(const float* p, const float* g, const float* m, const float* v, float* p_out, float* m_out, float* v_out,
               int64_t n, const AdamParams& params);
};

const OptimKernels& optim_kernels();

extern const OptimKernels optim_scalar, optim_avx2, optim_avx512;

}  // namespace fovea
