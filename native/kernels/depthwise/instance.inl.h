// The table of kernels for one kind of vector.
#pragma once
#include "kernels/depthwise/depthwise.inl.h"
#include "kernels/depthwise/whole_rows.inl.h"

namespace fovea {
namespace depthwise {

template <class V>
constexpr DepthwiseKernels instance(const char* isa) {
  return {isa,
          {forward<V, 1, float>, forward<V, 2, float>, forward<V, 4, float>, forward<V, 8, float>},
          {kMostWhole<V>, forward_whole<V, float>},
          {gradient<V, Singly<V>, 1>, gradient<V, Singly<V>, 2>, gradient<V, Singly<V>, 4>, gradient<V, Singly<V>, 8>}};
}

// Pixels: how the weight gradient takes them.
template <class V, class Pixels>
constexpr DepthwiseBf16Kernels bf16_instance() {
  return {{forward<V, 1, Bfloat16>, forward<V, 2, Bfloat16>, forward<V, 4, Bfloat16>, forward<V, 8, Bfloat16>},
          {kMostWhole<V>, forward_whole<V, Bfloat16>},
          {gradient<V, Pixels, 1>, gradient<V, Pixels, 2>, gradient<V, Pixels, 4>, gradient<V, Pixels, 8>}};
}

}  // namespace depthwise
}  // namespace fovea
