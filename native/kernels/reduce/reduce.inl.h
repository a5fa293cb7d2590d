// The one template behind reduce.h.
#pragma once
#include "kernels/reduce/reduce.h"
#include "simd/block16.h"

namespace fovea {
namespace reduce {

using simd::Block;

template <class V>
double row_sum(const float* x, int64_t n) {
  constexpr int kRun = 1024;  // sixteen terms per lane of the four sums
  double total = 0;
  for (int64_t run = 0; run < n; run += kRun) {
    const int64_t end = run + kRun < n ? run + kRun : n;
    Block<V> sum[4];
    UNROLL for (int j = 0; j < 4; ++j)
      sum[j] = Block<V>::zero();
    int64_t i = run;
    for (; i + 64 <= end; i += 64) UNROLL
      for (int j = 0; j < 4; ++j) sum[j] = sum[j] + Block<V>::load(x + i + 16 * j);
    for (; i + 16 <= end; i += 16) sum[0] = sum[0] + Block<V>::load(x + i);
    if (i < end) sum[1] = sum[1] + Block<V>::load_partial(x + i, int(end - i));
    sum[0] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    float run_total = 0;
    UNROLL for (int j = 0; j < Block<V>::kParts; ++j)
      run_total += reduce_add(sum[0].part[j]);
    total += double(run_total);
  }
  return total;
}

template <class V>
void column_sums(const float* x, int64_t rows, int64_t stride, int64_t n, double* sums) {
  constexpr int kRun = 32;
  for (int64_t run = 0; run < rows; run += kRun) {
    const int64_t end = run + kRun < rows ? run + kRun : rows;
    for (int64_t j = 0; j < n; j += 16) {
      const int lanes = n - j < 16 ? int(n - j) : 16;
      Block<V> sum = Block<V>::zero();
      for (int64_t i = run; i < end; ++i) {
        const float* const p = x + i * stride + j;
        sum = sum + (lanes == 16 ? Block<V>::load(p) : Block<V>::load_partial(p, lanes));
      }
      float part[16];
      sum.store(part);
      for (int k = 0; k < lanes; ++k) sums[j + k] += double(part[k]);
    }
  }
}

template <class V>
constexpr ReduceKernels instance(const char* isa) {
  return {isa, row_sum<V>, column_sums<V>};
}

}  // namespace reduce
}  // namespace fovea
