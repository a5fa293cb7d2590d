// The one template behind planes.h.
#pragma once
#include <utility>

#include "kernels/planes/planes.h"
#include "simd/macros.h"

namespace fovea {
namespace planes {

// N vectors of pixels of C channels.
template <class V, int C, int N>
void tile(const PlanesCall& call, const float* x, float* y) {
  V sums[C][N];
  UNROLL for (int c = 0; c < C; ++c) {
    UNROLL for (int n = 0; n < N; ++n)
      sums[c][n] = V::zero();
  }
  const float* weight = call.weight;
  for (ptrdiff_t k = 0; k < call.x_planes; ++k, x += call.x_plane) {
    for (const ptrdiff_t *offset = call.offsets, *end = offset + call.taps; offset != end; ++offset, weight += C) {
      const float* a = x + *offset;
      V w[C];
      UNROLL for (int c = 0; c < C; ++c)
        w[c] = V::splat(weight[c]);
      UNROLL for (int n = 0; n < N; ++n) {
        const V pixels = V::load(a + n * V::kLanes);
        UNROLL for (int c = 0; c < C; ++c)
          accumulate(sums[c][n], w[c], pixels);
      }
    }
  }
  UNROLL for (int c = 0; c < C; ++c) {
    UNROLL for (int n = 0; n < N; ++n) {
      float* const to = y + c * call.y_plane + n * V::kLanes;
      if (call.accumulate) sums[c][n] = V::load(to) + sums[c][n];
      sums[c][n].store(to);
    }
  }
}

// Vectors of a tile: their sums, a weight for each channel and the pixels are 24 + 3 + 1 of 32 registers for 3
// channels, 9 + 3 + 1 of 16.
template <class V>
constexpr int vectors_at_once(int channels) {
  constexpr int wide[] = {14, 12, 8, 6, 5, 4, 3, 2}, narrow[] = {10, 6, 3, 2, 2, 1, 1, 1};
  return (V::kLanes == 16 ? wide : narrow)[channels - 1];
}

// Tiles of nearly equal length.
template <class V, int C, int... N>
FOVEA_INLINE void stream(const PlanesCall& call, std::integer_sequence<int, N...>) {
  using Tile = void (*)(const PlanesCall&, const float*, float*);
  static constexpr Tile table[] = {tile<V, C, N + 1>...};
  constexpr ptrdiff_t kMost = sizeof...(N);
  const ptrdiff_t vectors = call.count / V::kLanes, tiles = (vectors + kMost - 1) / kMost;
  for (ptrdiff_t i = 0; i < tiles; ++i) {
    const ptrdiff_t first = vectors * i / tiles, end = vectors * (i + 1) / tiles;
    table[end - first - 1](call, call.x + first * V::kLanes, call.y + first * V::kLanes);
  }
}

template <class V, int C>
void forward(const PlanesCall& call) {
  stream<V, C>(call, std::make_integer_sequence<int, vectors_at_once<V>(C)>());
}

template <class V>
constexpr PlanesKernels instance(const char* isa) {
  return {isa,
          {forward<V, 1>, forward<V, 2>, forward<V, 3>, forward<V, 4>, forward<V, 5>, forward<V, 6>, forward<V, 7>,
           forward<V, 8>}};
}

}  // namespace planes
}  // namespace fovea
