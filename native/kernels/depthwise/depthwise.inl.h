// The one template behind depthwise.h.
#pragma once
#include "kernels/depthwise/depthwise.h"
#include "simd/block16.h"

namespace fovea {
namespace depthwise {

// M pixels at once: M independent sums hide the four cycles of a multiply-add, and share each load of the weight.
template <class V, int M>
FOVEA_INLINE void pixels(const DepthwiseCall& call, const float* x, float* y) {
  using B = simd::Block<V>;
  B sum[M];
  UNROLL for (int i = 0; i < M; ++i)
    sum[i] = B::zero();
  for (ptrdiff_t t = 0; t < call.taps; ++t) {
    const B weight = B::load(call.weight + 16 * t);
    const float* a = x + call.offsets[t];
    UNROLL for (int i = 0; i < M; ++i)
      sum[i] = fma(B::load(a + 16 * i), weight, sum[i]);
  }
  if (call.bias) {
    const B bias = B::load(call.bias);
    UNROLL for (int i = 0; i < M; ++i)
      sum[i] = sum[i] + bias;
  }
  UNROLL for (int i = 0; i < M; ++i) {
    if (call.relu) sum[i] = max(B::zero(), sum[i]);
    sum[i].store(y + i * call.y_step);
  }
}

template <class V>
void forward(const DepthwiseCall& call) {
  constexpr int M = V::kLanes == 16 ? 8 : V::kLanes == 8 ? 4 : 2;
  ptrdiff_t i = 0;
  for (; i + M <= call.count; i += M) pixels<V, M>(call, call.x + 16 * i, call.y + i * call.y_step);
  for (; i < call.count; ++i) pixels<V, 1>(call, call.x + 16 * i, call.y + i * call.y_step);
}

// T taps at once share the loads of dy. kBias: and the sum of dy itself, at `bias`.
template <class V, int T, bool kBias>
FOVEA_INLINE void taps(const DepthwiseGradCall& call, ptrdiff_t first, float* bias) {
  using B = simd::Block<V>;
  B sum[T], total = B::zero();
  const float* a[T];
  UNROLL for (int t = 0; t < T; ++t) {
    sum[t] = B::zero();
    a[t] = call.x + call.offsets[first + t];
  }
  for (ptrdiff_t i = 0; i < call.count; ++i) {
    const B dy = B::load(call.dy + 16 * i);
    if (kBias) total = total + dy;
    UNROLL for (int t = 0; t < T; ++t)
      sum[t] = fma(B::load(a[t] + 16 * i), dy, sum[t]);
  }
  UNROLL for (int t = 0; t < T; ++t) {
    float* out = call.sums + 16 * (first + t);
    (B::load(out) + sum[t]).store(out);
  }
  if (kBias) (B::load(bias) + total).store(bias);
}

template <class V>
void gradient(const DepthwiseGradCall& call) {
  constexpr int T = V::kLanes == 16 ? 8 : V::kLanes == 8 ? 4 : 2;
  float* const bias = call.sums + 16 * call.taps;
  taps<V, 1, true>(call, 0, bias);
  ptrdiff_t t = 1;
  for (; t + T <= call.taps; t += T) taps<V, T, false>(call, t, bias);
  for (; t < call.taps; ++t) taps<V, 1, false>(call, t, bias);
}

template <class V>
constexpr DepthwiseKernels instance(const char* isa) {
  return {isa, forward<V>, gradient<V>};
}

}  // namespace depthwise
}  // namespace fovea
