// The template behind every row of kernels.inc. brgemm.h says what a tile does.
#pragma once
#include <utility>

#include "kernels/brgemm/brgemm.h"
#include "simd/macros.h"

namespace fovea {

// Keeps a broadcast in a register: folded into each multiply-add as a memory operand it would cost one load per use.
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__)
#define BRGEMM_IN_REGISTER(x) asm("" : "+v"(x))
#else
#define BRGEMM_IN_REGISTER(x) (void)0
#endif

template <class V, int M, int NB>
struct BrgemmSums {
  static constexpr int kPerBlock = 16 / V::kLanes;
  static constexpr int kVectors = NB * kPerBlock;
  V sum[M][kVectors];

  FOVEA_INLINE void clear() {
    UNROLL for (int i = 0; i < M; ++i) {
      UNROLL for (int j = 0; j < kVectors; ++j)
        sum[i][j] = V::zero();
    }
  }

  // One q: `a(i)` gives A(i, q).
  template <class A>
  FOVEA_INLINE void add(const A& a, const float* b, ptrdiff_t b_block) {
    V row[kVectors];
    UNROLL for (int j = 0; j < kVectors; ++j) {
      row[j] = V::load(b + j / kPerBlock * b_block + j % kPerBlock * V::kLanes);
    }
    UNROLL for (int i = 0; i < M; ++i) {
      V ai = V::splat(a(i));
      if (kVectors > 1) BRGEMM_IN_REGISTER(ai.v);
      UNROLL for (int j = 0; j < kVectors; ++j)
        sum[i][j] = fma(ai, row[j], sum[i][j]);
    }
  }

  FOVEA_INLINE void store(const BrgemmCall& call) {
    float* c = call.c;
    if (call.accumulate) {
      UNROLL for (int i = 0; i < M; ++i) {
        UNROLL for (int j = 0; j < kVectors; ++j)
          sum[i][j] = V::load(at(c + i * call.c_row, j, call.c_block)) + sum[i][j];
      }
    }
    if (call.bias) {
      UNROLL for (int j = 0; j < kVectors; ++j) {
        const V bias = V::load(call.bias + j * V::kLanes);
        UNROLL for (int i = 0; i < M; ++i)
          sum[i][j] = sum[i][j] + bias;
      }
    }
    if (call.relu) {
      UNROLL for (int i = 0; i < M; ++i) {
        UNROLL for (int j = 0; j < kVectors; ++j)
          sum[i][j] = max(V::zero(), sum[i][j]);
      }
    }
    UNROLL for (int i = 0; i < M; ++i) {
      UNROLL for (int j = 0; j < kVectors; ++j)
        sum[i][j].store(at(c + i * call.c_row, j, call.c_block));
    }
  }

  static FOVEA_INLINE float* at(float* c, int j, ptrdiff_t block) {
    return c + j / kPerBlock * block + j % kPerBlock * V::kLanes;
  }
};

template <class V, BrgemmRows kRows, int M, int NB>
void brgemm_tile(const BrgemmCall& call) {
  BrgemmSums<V, M, NB> sums;
  sums.clear();
  const ptrdiff_t depth = call.depth, a_step = call.a_step, b_step = call.b_step, b_block = call.b_block;
  const float* const a0 = call.a;
  const float* const b0 = call.b;
  for (const BrgemmEntry *entry = call.entries, *end = entry + call.count; entry != end; ++entry) {
    const float* a = a0 + entry->a;
    const float* b = b0 + entry->b;
    if (kRows == BrgemmRows::kPixels) {
      for (ptrdiff_t q = 0; q < depth; ++q, ++a, b += b_step) sums.add([a](int i) { return a[16 * i]; }, b, b_block);
    } else if (kRows == BrgemmRows::kColumns) {
      for (ptrdiff_t q = 0; q < depth; ++q, a += a_step, b += b_step) sums.add([a](int i) { return a[i]; }, b, b_block);
    } else {
      const float* row[M];
      UNROLL for (int i = 0; i < M; ++i)
        row[i] = a + call.a_rows[i];
      ptrdiff_t q = 0;
      for (; q + 4 <= depth; q += 4) {  // by four, so that fetching a spilled row address is paid once for four steps
        UNROLL for (int u = 0; u < 4; ++u, b += b_step)
          sums.add([&](int i) { return row[i][q + u]; }, b, b_block);
      }
      for (; q < depth; ++q, b += b_step) sums.add([&](int i) { return row[i][q]; }, b, b_block);
    }
  }
  sums.store(call);
}

namespace brgemm_table {

template <class V, BrgemmRows kRows, int NB, int... M>
constexpr void fill(BrgemmKernels& kernels, std::integer_sequence<int, M...>) {
  ((kernels.tile[static_cast<int>(kRows)][NB - 1][M] = brgemm_tile<V, kRows, M + 1, NB>), ...);
}

template <class V, int kMaxRows, int NB>
constexpr void fill(BrgemmKernels& kernels) {
  using Rows = std::make_integer_sequence<int, kMaxRows>;
  fill<V, BrgemmRows::kPixels, NB>(kernels, Rows());
  fill<V, BrgemmRows::kColumns, NB>(kernels, Rows());
  fill<V, BrgemmRows::kList, NB>(kernels, Rows());
  if constexpr (NB > 1) fill<V, kMaxRows, NB - 1>(kernels);
}

template <class V, int kMaxRows, int kMaxBlocks>
constexpr BrgemmKernels make(const char* name) {
  BrgemmKernels kernels{name, kMaxRows, kMaxBlocks, {}};
  fill<V, kMaxRows, kMaxBlocks>(kernels);
  return kernels;
}

}  // namespace brgemm_table

#define BRGEMM_INSTANCE(name, V, rows, blocks) \
  extern const BrgemmKernels name;             \
  constexpr BrgemmKernels name = brgemm_table::make<V, rows, blocks>(#name);

}  // namespace fovea
