// The one template behind matvec.h.
#pragma once
#include "kernels/matvec/matvec.h"
#include "simd/macros.h"

namespace fovea {
namespace matvec {

// M rows of A with J columns of B at once, M·J sums. Of a single row eight, since the prefetchers fetch the columns
// side by side and are faster at eight than at four or sixteen; of several what half of the registers hold.
template <class V, int M>
constexpr int kDotColumns = M == 1                      ? 8
                            : V::kLanes == 16 || M == 2 ? 4
                                                        : 2;

template <class V, int M, int J>
FOVEA_INLINE void dot_tile(const MatvecCall& call, int64_t column) {
  V sum[M][J];
  UNROLL for (int i = 0; i < M; ++i) {
    UNROLL for (int j = 0; j < J; ++j)
      sum[i][j] = V::zero();
  }
  const float* const b = call.b + column * call.b_step;
  const auto add = [&](const auto& load) {
    V a[M];
    UNROLL for (int i = 0; i < M; ++i)
      a[i] = load(call.a + i * call.a_row);
    UNROLL for (int j = 0; j < J; ++j) {
      const V row = load(b + j * call.b_step);
      UNROLL for (int i = 0; i < M; ++i)
        accumulate(sum[i][j], a[i], row);
    }
  };
  int64_t q = 0;
  for (; q + V::kLanes <= call.k; q += V::kLanes) add([q](const float* p) { return V::load(p + q); });
  if (q < call.k) {
    const int rest = int(call.k - q);
    add([q, rest](const float* p) { return V::load_partial(p + q, rest); });
  }
  UNROLL for (int i = 0; i < M; ++i) {
    UNROLL for (int j = 0; j < J; ++j) {
      float x = reduce_add(sum[i][j]);
      if (call.bias) x += call.bias[column + j];
      call.c[i * call.c_row + (column + j) * call.c_column] = call.relu && x < 0 ? 0.f : x;
    }
  }
}

template <class V, int M>
FOVEA_INLINE void dots_of(const MatvecCall& call) {
  constexpr int kColumns = kDotColumns<V, M>;
  int64_t j = 0;
  for (; j + kColumns <= call.n; j += kColumns) dot_tile<V, M, kColumns>(call, j);
  for (; j < call.n; ++j) dot_tile<V, M, 1>(call, j);
}

template <class V>
void dots(const MatvecCall& call) {
  static_assert(kMatvecRows == 4, "one case for each");
  switch (call.m) {
    case 1:
      return dots_of<V, 1>(call);
    case 2:
      return dots_of<V, 2>(call);
    case 3:
      return dots_of<V, 3>(call);
    default:
      return dots_of<V, 4>(call);
  }
}

// kRows rows of B are added up and then to C, which is read, written and rounded only that often; it is in L1, and so
// are the rows when the next row of A takes them.
constexpr int kRows = 8;

template <class V>
FOVEA_INLINE void add_rows(const MatvecCall& call, int64_t q, int count, const float* a, float* c) {
  const bool first = q == 0, last = q + count == call.k;
  const auto step = [&](int64_t j, const auto& load, const auto& store) {
    V sum = V::zero();
    for (int r = 0; r < count; ++r) accumulate(sum, V::splat(a[q + r]), load(call.b + (q + r) * call.b_step + j));
    if (!first) sum = load(c + j) + sum;
    if (last && call.bias) sum = sum + load(call.bias + j);
    if (last && call.relu) sum = max(V::zero(), sum);
    store(sum, c + j);
  };
  int64_t j = 0;
  for (; j + V::kLanes <= call.n; j += V::kLanes) {
    step(j, [](const float* p) { return V::load(p); }, [](V x, float* p) { x.store(p); });
  }
  const int rest = int(call.n - j);
  if (rest > 0) {
    step(
        j, [rest](const float* p) { return V::load_partial(p, rest); },
        [rest](V x, float* p) { x.store_partial(p, rest); });
  }
}

template <class V>
void sums(const MatvecCall& call) {
  for (int64_t q = 0; q < call.k; q += kRows) {
    const int64_t left = call.k - q;
    for (int64_t i = 0; i < call.m; ++i) {
      const float* a = call.a + i * call.a_row;
      float* c = call.c + i * call.c_row;
      left >= kRows ? add_rows<V>(call, q, kRows, a, c) : add_rows<V>(call, q, int(left), a, c);
    }
  }
}

template <class V>
constexpr MatvecKernels instance(const char* isa) {
  return {isa, dots<V>, sums<V>};
}

}  // namespace matvec
}  // namespace fovea
