// The products of one frequency between the transforms: WinogradMultiply and WinogradGradMultiply.
#pragma once
#include "kernels/winograd/winograd.h"
#include "simd/macros.h"

namespace fovea {
namespace winograd {

// sum[i][j] += v[i]·row[j]. With one product for each v[i], GCC makes its load part of the multiply-add. (Said in
// assembly, as in brgemm, that kept the sums on the stack here.)
template <class V, int M, int kVectors>
FOVEA_INLINE void multiply_add(V (&sum)[M][kVectors], const float* v, const V (&row)[kVectors]) {
  UNROLL for (int i = 0; i < M; ++i) {
    const V vi = V::splat(v[i]);
    UNROLL for (int j = 0; j < kVectors; ++j)
      sum[i][j] = fma(vi, row[j], sum[i][j]);
  }
}

// Channels whose filters stay in L1 while all tiles pass: 64 rows of 64 filters are 16 KiB.
constexpr int kPanel = 64;

// M tiles by NB blocks of filters stay in registers for one sum; channels [c, end) of them. Where twice as many fit,
// what the sums add up to stays there as well. With kFetch the rows of U after `end` are asked for: by then the tiles
// that follow will have passed.
template <class V, int M, int NB, bool kFetch>
void multiply_rows(const WinogradMultiply& call, int tile, int c, int end) {
  constexpr int kParts = 16 / V::kLanes, kVectors = NB * kParts;
  constexpr bool kTotals = (2 * M + 1) * kVectors + 1 <= V::kRegisters;
  const float* u = call.u + ptrdiff_t(c) * 16 * NB;
  float* const product = call.product + 16 * tile;
  const auto place = [&](int i, int j) {
    return product + j / kParts * call.product_block + 16 * i + j % kParts * V::kLanes;
  };
  bool accumulate = call.accumulate || c > 0;
  V total[M][kVectors];
  if (kTotals) {
    UNROLL for (int i = 0; i < M; ++i) {
      UNROLL for (int j = 0; j < kVectors; ++j)
        total[i][j] = accumulate ? V::load(place(i, j)) : V::zero();
    }
  }
  while (c < end) {
    const int sum_end = c + 16 * call.sum < end ? c + 16 * call.sum : end;
    V sum[M][kVectors];
    UNROLL for (int i = 0; i < M; ++i) {
      UNROLL for (int j = 0; j < kVectors; ++j)
        sum[i][j] = V::zero();
    }
    const auto add = [&](const float* v, int step) {
      V row[kVectors];
      UNROLL for (int j = 0; j < kVectors; ++j)
        row[j] = V::load(u + 16 * NB * step + j * V::kLanes);
      if (kFetch) {
        UNROLL for (int j = 0; j < NB; ++j)
          ask_to_read(u + 16 * NB * (step + kPanel) + 16 * j);
      }
      UNROLL for (int i = 0; i < M; ++i) {
        const V vi = V::splat(v[16 * i + step]);
        UNROLL for (int j = 0; j < kVectors; ++j)
          sum[i][j] = fma(vi, row[j], sum[i][j]);
      }
    };
    while (c < sum_end) {
      const float* v = call.v + c / 16 * call.v_block + 16 * tile;
      const int stop = c + 16 < sum_end ? c + 16 : sum_end;
      for (; c + 4 <= stop; c += 4, v += 4, u += 64 * NB) {  // by four, so that counting costs little
        UNROLL for (int step = 0; step < 4; ++step)
          add(v, step);
      }
      for (; c < stop; ++c, ++v, u += 16 * NB) add(v, 0);
    }
    UNROLL for (int i = 0; i < M; ++i) {
      UNROLL for (int j = 0; j < kVectors; ++j) {
        if (kTotals) {
          total[i][j] = total[i][j] + sum[i][j];
        } else {
          (accumulate ? V::load(place(i, j)) + sum[i][j] : sum[i][j]).store(place(i, j));
        }
      }
    }
    accumulate = true;
  }
  if (kTotals) {
    UNROLL for (int i = 0; i < M; ++i) {
      UNROLL for (int j = 0; j < kVectors; ++j)
        total[i][j].store(place(i, j));
    }
  }
}

template <class V, int M, int NB>
void multiply_rest(const WinogradMultiply& call, int tile, int c, int end) {
  if (call.tiles - tile == M) return multiply_rows<V, M, NB, false>(call, tile, c, end);
  if constexpr (M > 1) multiply_rest<V, M - 1, NB>(call, tile, c, end);
}

// NB blocks of filters, or fewer if the call has fewer: then tiles of kFewRows instead of kRows, if there are at most
// kFewBlocks.
template <class V, int kRows, int NB, int kFewRows, int kFewBlocks>
void multiply(const WinogradMultiply& call) {
  // One block leaves room for twice as many tiles, and so half as many stores that wait for their sums.
  constexpr bool kTwice = NB == 1 && (4 * kFewRows + 1) * (16 / V::kLanes) + 1 <= V::kRegisters;
  constexpr int M = NB > kFewBlocks ? kRows : kTwice ? 2 * kFewRows : kFewRows;
  if constexpr (NB > 1) {
    if (call.blocks < NB) return multiply<V, kRows, NB - 1, kFewRows, kFewBlocks>(call);
  }
  Asks asks(call.ahead, ptrdiff_t((call.depth + kPanel - 1) / kPanel) * ((call.tiles + M - 1) / M));
  for (int c = 0; c < call.depth; c += kPanel) {
    const int end = c + kPanel < call.depth ? c + kPanel : call.depth;
    int tile = 0;
    if (M <= call.tiles) multiply_rows<V, M, NB, true>(call, 0, c, end), tile = M, asks.step();
    for (; tile + M <= call.tiles; tile += M) multiply_rows<V, M, NB, false>(call, tile, c, end), asks.step();
    if constexpr (M > 1) multiply_rest<V, M - 1, NB>(call, tile, c, end);
  }
}

// M channels by NB blocks of filters stay in registers while all tiles pass.
template <class V, int M, int NB>
void multiply_channels(const WinogradGradMultiply& call, const float* v, const float* u, float* product) {
  constexpr int kParts = 16 / V::kLanes, kVectors = NB * kParts;
  V sum[M][kVectors];
  UNROLL for (int i = 0; i < M; ++i) {
    UNROLL for (int j = 0; j < kVectors; ++j)
      sum[i][j] = V::zero();
  }
  const auto add = [&](int tile) {
    V row[kVectors];
    UNROLL for (int j = 0; j < kVectors; ++j)
      row[j] = V::load(u + j / kParts * call.u_block + 16 * tile + j % kParts * V::kLanes);
    multiply_add<V, M, kVectors>(sum, v + 16 * tile, row);
  };
  int tile = 0;
  for (; tile + 4 <= call.tiles; tile += 4, v += 64, u += 64) {
    UNROLL for (int i = 0; i < 4; ++i)
      add(i);
  }
  for (; tile < call.tiles; ++tile, v += 16, u += 16) add(0);
  UNROLL for (int i = 0; i < M; ++i) {
    UNROLL for (int j = 0; j < kVectors; ++j) {
      float* const to = product + j / kParts * call.product_block + 16 * i + j % kParts * V::kLanes;
      if (call.accumulate) sum[i][j] = V::load(to) + sum[i][j];
      sum[i][j].store(to);
    }
  }
}

template <class V, int M, int NB>
void multiply_gradient(const WinogradGradMultiply& call) {
  if constexpr (NB > 1) {
    if (call.filters < NB) return multiply_gradient<V, M, NB - 1>(call);
  }
  // One block of filters leaves room for more channels.
  constexpr int kRows = NB == 1 && (16 + 1) * (16 / V::kLanes) + 1 <= V::kRegisters ? 16 : M;
  const float* v = call.v;
  float* product = call.product;
  Asks asks(call.ahead, ptrdiff_t(call.channels) * (16 / kRows));
  for (int block = 0; block < call.channels; ++block, v += call.v_block, product += 256) {
    int c = 0;
    for (; c + kRows <= 16; c += kRows) {
      multiply_channels<V, kRows, NB>(call, v + c, call.u, product + 16 * c);
      asks.step();
    }
    if constexpr (16 % kRows > 0) multiply_channels<V, 16 % kRows, NB>(call, v + c, call.u, product + 16 * c);
  }
}

}  // namespace winograd
}  // namespace fovea
