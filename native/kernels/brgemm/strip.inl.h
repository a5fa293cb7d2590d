// Strips: pixels past one block of columns whose B stays in registers. Of short sums calls and stores take as long as
// the products: 24 to 144 channels at 56×56 took 0.57 ms, which would be 0.39 if nothing but the products took time
// (Zen 5).
#pragma once
#include "kernels/brgemm/tile.inl.h"

namespace fovea {

// W words of a sum: see BrgemmKernels::strips.
template <class V, BrgemmRows kRows, int W>
void brgemm_strip(const BrgemmCall& call) {
  static_assert(V::kLanes == 16 && are_pixels(kRows), "one vector to a row of B, and pixels of the blocked layout");
  constexpr int M = kBrgemmStripRows, U = kBrgemmUnroll;
  constexpr ptrdiff_t kPitch = kRows == BrgemmRows::kPixels ? 16 : 8;
  V row[W];
  const float* a[W / U];
  UNROLL for (int u = 0; u < W / U; ++u) {
    const BrgemmEntry& entry = call.entries[u * U / call.depth];
    const ptrdiff_t q = u * U % call.depth;
    a[u] = call.a + entry.a + q;
    UNROLL for (int i = 0; i < U; ++i) {
      row[u * U + i] = V::load(call.b + entry.b + 16 * (q + i));
      keep(row[u * U + i]);
    }
  }
  BrgemmCall part = call;
  BrgemmAsks<M, 1> asks(call);
  for (ptrdiff_t left = call.pixels; left >= M; left -= M) {
    BrgemmSums<V, M, 1> sums;
    if (call.bias)
      sums.start(call.bias);
    else
      sums.clear();
    UNROLL for (int u = 0; u < W / U; ++u) {
      asks.fetch();
      UNROLL for (int q = 0; q < U; ++q) {
        UNROLL for (int i = 0; i < M; ++i)
          accumulate(sums.sum[i][0], a[u] + kPitch * i + q, row[u * U + q]);
      }
      a[u] = kept(a[u] + kPitch * M);
    }
    sums.finish(part);
    part.c += M * call.c_row;
    if (call.rounded) part.rounded += M * call.rounded_row;
    if (call.add) {
      const ptrdiff_t row =
          call.rounded ? call.rounded_row * ptrdiff_t(sizeof(Bfloat16)) : call.c_row * ptrdiff_t(sizeof(float));
      part.add = static_cast<const std::byte*>(part.add) + M * row;
    }
    asks.go_on(part);
  }
}

}  // namespace fovea
