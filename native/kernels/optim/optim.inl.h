// The one template behind optim.h. Operations stand in PyTorch's order (torch/optim/sgd.py and adam.py, the
// single-tensor forms), each rounded to float32.
#pragma once
#include "kernels/optim/optim.h"
#include "simd/macros.h"

namespace fovea {
namespace optim {

// Values that are asked for ahead. Three to seven streams, each a page of 4 KiB and then another one, leave the
// prefetchers little to go by: SGD with momentum on 176 MB took 2.45 ms, so 2.02 (two Zen 5 cores).
constexpr int64_t kAhead = 256;

// Once for every line of 16 values.
template <class V>
FOVEA_INLINE bool asks(int64_t i) {
  return V::kLanes == 16 || i % 16 == 0;
}

template <class V>
FOVEA_INLINE void sgd_step(V& p, V g, V& m, const SgdParams& params) {
  if (params.maximize) g = V::zero() - g;
  if (params.weight_decay != 0) g = g + p * V::splat(params.weight_decay);
  if (params.momentum != 0) {
    const V momentum = V::splat(params.momentum);
    m = params.first ? g : m * momentum + g * V::splat(params.one_minus_dampening);
    g = params.nesterov ? g + m * momentum : m;
  }
  p = p - g * V::splat(params.lr);
}

template <class V>
void sgd(const float* p, const float* g, const float* m, float* p_out, float* m_out, int64_t n,
         const SgdParams& given) {
  constexpr int L = V::kLanes;
  const SgdParams params = given;  // a copy: stores through float pointers cannot reach it
  for (int64_t i = 0; i < n; i += L) {
    const int lanes = n - i < L ? int(n - i) : L;
    if (asks<V>(i)) {
      ask_to_read(g + i + kAhead), ask_to_write(p_out + i + kAhead);
      if (m) ask_to_write(m_out + i + kAhead);
    }
    if (lanes == L) {
      V vp = V::load(p + i), vm = m ? V::load(m + i) : V::zero();
      sgd_step<V>(vp, V::load(g + i), vm, params);
      vp.store(p_out + i);
      if (m) vm.store(m_out + i);
    } else {
      V vp = V::load_partial(p + i, lanes), vm = m ? V::load_partial(m + i, lanes) : V::zero();
      sgd_step<V>(vp, V::load_partial(g + i, lanes), vm, params);
      vp.store_partial(p_out + i, lanes);
      if (m) vm.store_partial(m_out + i, lanes);
    }
  }
}

template <class V>
FOVEA_INLINE void adam_step(V& p, V g, V& m, V& v, const AdamParams& params) {
  if (params.maximize) g = V::zero() - g;
  if (params.decoupled) {
    p = p * V::splat(params.decay);
  } else if (params.weight_decay != 0) {
    g = g + p * V::splat(params.weight_decay);
  }
  // torch.lerp: from the nearer end.
  const V weight = V::splat(params.lerp);
  m = params.lerp < 0.5f ? m + weight * (g - m) : g - (g - m) * V::splat(1.0f - params.lerp);
  v = v * V::splat(params.beta2) + V::splat(params.one_minus_beta2) * g * g;
  const V denominator = sqrt(v) / V::splat(params.root_correction) + V::splat(params.eps);
  p = p - V::splat(params.step_size) * m / denominator;
}

template <class V>
void adam(const float* p, const float* g, const float* m, const float* v, float* p_out, float* m_out, float* v_out,
          int64_t n, const AdamParams& given) {
  constexpr int L = V::kLanes;
  const AdamParams params = given;
  for (int64_t i = 0; i < n; i += L) {
    const int lanes = n - i < L ? int(n - i) : L;
    if (asks<V>(i)) {
      ask_to_read(g + i + kAhead), ask_to_write(p_out + i + kAhead);
      ask_to_write(m_out + i + kAhead), ask_to_write(v_out + i + kAhead);
    }
    if (lanes == L) {
      V vp = V::load(p + i), vm = V::load(m + i), vv = V::load(v + i);
      adam_step<V>(vp, V::load(g + i), vm, vv, params);
      vp.store(p_out + i), vm.store(m_out + i), vv.store(v_out + i);
    } else {
      V vp = V::load_partial(p + i, lanes), vm = V::load_partial(m + i, lanes), vv = V::load_partial(v + i, lanes);
      adam_step<V>(vp, V::load_partial(g + i, lanes), vm, vv, params);
      vp.store_partial(p_out + i, lanes), vm.store_partial(m_out + i, lanes), vv.store_partial(v_out + i, lanes);
    }
  }
}

template <class V>
constexpr OptimKernels instance(const char* isa) {
  return {isa, sgd<V>, adam<V>};
}

}  // namespace optim
}  // namespace fovea
