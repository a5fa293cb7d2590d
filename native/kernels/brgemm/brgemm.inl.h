// The template behind every row of kernels.inc.
#pragma once
#include <type_traits>
#include <utility>

#include "kernels/brgemm/strip.inl.h"
#include "kernels/brgemm/tile.inl.h"

namespace fovea {
namespace brgemm_table {

template <class V>
constexpr bool kPairs = !std::is_same_v<V, typename V::Sum>;

template <class V, BrgemmRows kRows, int NB, int... M>
constexpr void fill(BrgemmKernels& kernels, std::integer_sequence<int, M...>) {
  ((kernels.tile[static_cast<int>(kRows)][NB - 1][M] = brgemm_tile<V, kRows, M + 1, NB>), ...);
}

template <class V, int NB, int kRows>
constexpr void fill(BrgemmKernels& kernels) {
  using Rows = std::make_integer_sequence<int, kRows>;
  fill<V, BrgemmRows::kPixels, NB>(kernels, Rows());
  fill<V, BrgemmRows::kChannels, NB>(kernels, Rows());
  fill<V, BrgemmRows::kPlanes, NB>(kernels, Rows());
  fill<V, BrgemmRows::kColumns, NB>(kernels, Rows());
  fill<V, BrgemmRows::kList, NB>(kernels, Rows());
  fill<V, BrgemmRows::kRows, NB>(kernels, Rows());
  if constexpr (kPairs<V>) fill<V, BrgemmRows::kHalfPixels, NB>(kernels, Rows());
  kernels.rows[NB - 1] = kRows;
}

template <class V, int... kRows, int... kIndex>
constexpr void fill_all(BrgemmKernels& kernels, std::integer_sequence<int, kIndex...>) {
  (fill<V, kIndex + 1, kRows>(kernels), ...);
}

// The strip of (i + 1)·kBrgemmUnroll words for each i, of pairs in either form. Of float32, whose products take twice
// as long, strips gained nothing: 0.95 to 1.14 of the time of tiles (4 to 24 channels, Zen 5).
template <class V, BrgemmRows kRows, int... i>
constexpr void fill_strips(BrgemmKernels& kernels, std::integer_sequence<int, i...>) {
  ((kernels.strips[static_cast<int>(kRows)][i] = brgemm_strip<V, kRows, (i + 1) * kBrgemmUnroll>), ...);
}

template <class V, int... kRows>
constexpr BrgemmKernels make(const char* name) {
  BrgemmKernels kernels{};
  kernels.name = name;
  kernels.lanes = V::kLanes;
  kernels.blocks = sizeof...(kRows);
  kernels.tile_rows = 1;
  kernels.rounds = BrgemmSums<V, 1, 1>::kRounds;
  static_assert(sizeof...(kRows) <= kBrgemmMaxBlocks, "no such tiles");
  fill_all<V, kRows...>(kernels, std::make_integer_sequence<int, sizeof...(kRows)>());
  if constexpr (kPairs<V>) {
    using Words = std::make_integer_sequence<int, kBrgemmStripWords / kBrgemmUnroll>;
    fill_strips<V, BrgemmRows::kPixels>(kernels, Words());
    fill_strips<V, BrgemmRows::kHalfPixels>(kernels, Words());
  }
  return kernels;
}

}  // namespace brgemm_table

// BRGEMM_INSTANCE(name, vector type, rows of the tiles of 16 columns, of 32, …)
#define BRGEMM_INSTANCE(name, V, ...) \
  extern const BrgemmKernels name;    \
  constexpr BrgemmKernels name = brgemm_table::make<V, __VA_ARGS__>(#name);

}  // namespace fovea
