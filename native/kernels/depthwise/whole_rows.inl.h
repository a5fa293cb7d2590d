// Rows that fit the registers, of images padded as far as half a filter: each pixel is loaded once for a row of taps,
// and products with padding are left out, where in regions of their own the few pixels beside it would be most of a
// small image.
#pragma once
#include <utility>

#include "kernels/depthwise/depthwise.inl.h"

namespace fovea {
namespace depthwise {

// Pixels of a row, which a tile takes whole; sums of all its rows, beside the weights of a row of taps and one pixel:
// 21 + 7 + 1 of 32 registers, 8 + 5 + 1 of 16.
template <class V>
constexpr int kMostWhole = V::kLanes == 16 ? 14 : 8;
template <class V>
constexpr int kWholeSums = V::kLanes == 16 ? 21 : 8;

// R rows of M pixels. Of the taps each K are a row: the first has the place of column 0.
template <class V, class T, int K, int R, int M>
void whole_rows(const DepthwiseCallOf<T>& call, ptrdiff_t lane, const T* x, T* y) {
  constexpr int kBefore = (K - 1) / 2;
  V sums[R][M];
  UNROLL for (int r = 0; r < R; ++r) {
    UNROLL for (int i = 0; i < M; ++i)
      sums[r][i] = V::zero();
  }
  fetch(*call.x_ahead, R * M);
  fetch(*call.y_ahead, R * M);
  for (const DepthwiseTap *tap = call.taps, *end = tap + call.tap_count; tap != end; tap += K) {
    V weight[K];
    UNROLL for (int t = 0; t < K; ++t)
      weight[t] = V::load(call.weight + tap[t].at + lane);
    UNROLL for (int r = 0; r < R; ++r) {
      const T* const row = kept(x + tap->x + r * call.x_row);
      UNROLL for (int j = 0; j < M; ++j) {
        const V operand = V::load(row + 16 * j);
        UNROLL for (int t = 0; t < K; ++t) {
          const int i = j - t + kBefore;
          if (i >= 0 && i < M) sums[r][i] = fma(operand, weight[t], sums[r][i]);
        }
      }
    }
  }
  const V bias = call.bias ? V::load(call.bias + lane) : V::zero(), floor = V::splat(call.relu ? 0 : -__builtin_inff());
  UNROLL for (int r = 0; r < R; ++r) {
    UNROLL for (int i = 0; i < M; ++i)
      sums[r][i] = max(floor, sums[r][i] + bias);
  }
  store_rows<V, R, M>(call, 16, y, [&](int r, int i) -> const V& { return sums[r][i]; });
}

template <class V, class T, int K, int M, int... R>
constexpr Tiles<T> whole_tiles(std::integer_sequence<int, R...>) {
  return {sizeof...(R), {whole_rows<V, T, K, R + 1, M>...}};
}

template <class V, int M>
constexpr int whole_rows_at_once() {
  constexpr int fitting = kWholeSums<V> / M;
  return fitting < kMostRows ? fitting : kMostRows;
}

template <class V, class T, int K, int... M>
void planes_of_whole_rows(const DepthwiseCallOf<T>& call, std::integer_sequence<int, M...>) {
  static constexpr Tiles<T> table[] = {
      whole_tiles<V, T, K, M + 1>(std::make_integer_sequence<int, whole_rows_at_once<V, M + 1>()>())...};
  const Tiles<T>& tiles = table[call.count - 1];
  DepthwiseCallOf<T> plane = call;
  for (ptrdiff_t n = 0; n < call.planes; ++n) {
    for (ptrdiff_t first = 0, height; first < call.rows; first += height) {
      height = next_height(call.rows - first, tiles.rows);
      for (ptrdiff_t lane = 0; lane < 16; lane += V::kLanes)
        tiles.of[height - 1](plane, lane, plane.x + first * call.x_row + lane, plane.y + first * call.y_row + lane);
    }
    plane.x += call.x_plane, plane.y += call.y_plane, plane.weight += call.weight_plane;
    if (plane.bias) plane.bias += 16;
  }
}

template <class V, class T>
void forward_whole(const DepthwiseCallOf<T>& call, int width) {
  using Lengths = std::make_integer_sequence<int, kMostWhole<V>>;
  if (width == 3) return planes_of_whole_rows<V, T, 3>(call, Lengths());
  if (width == 5) return planes_of_whole_rows<V, T, 5>(call, Lengths());
  planes_of_whole_rows<V, T, 7>(call, Lengths());
}

}  // namespace depthwise
}  // namespace fovea
