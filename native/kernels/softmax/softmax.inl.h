// The one template behind softmax.h.
#pragma once
#include <math.h>

#include "kernels/softmax/softmax.h"
#include "simd/block16.h"

namespace fovea {
namespace softmax {

using simd::Block;

// e^x = 2^n e^r with n = round(x / ln 2), |r| <= ln 2 / 2. ln 2 is subtracted in two parts, the first short enough that
// n times it is exact (Cody and Waite 1980); e^r is its Taylor polynomial to r^7, whose remainder is below 2^-27.
// Against double precision on two million arguments from -87 to 88.7 the error is at most 1.06 units in the last place.
template <class V>
FOVEA_INLINE V exp(V x) {
  const V clamped = min(max(x, V::splat(-104.0f)), V::splat(89.0f));  // beyond: 0 and infinity
  const V n = round_even(clamped * V::splat(1.44269504f));
  V r = fma(n, V::splat(-0.693359375f), clamped);
  r = fma(n, V::splat(2.12194440e-4f), r);
  V e = V::splat(1.0f / 5040);
  e = fma(e, r, V::splat(1.0f / 720));
  e = fma(e, r, V::splat(1.0f / 120));
  e = fma(e, r, V::splat(1.0f / 24));
  e = fma(e, r, V::splat(1.0f / 6));
  e = fma(e, r, V::splat(0.5f));
  e = fma(e * r, r, r) + V::splat(1.0f);
  const V result = scale_pow2(e, n);
  return select(is_nan(x), x, result);
}

template <class V>
FOVEA_INLINE Block<V> exp(Block<V> x) {
  UNROLL for (int i = 0; i < Block<V>::kParts; ++i)
    x.part[i] = exp<V>(x.part[i]);
  return x;
}

template <class V>
FOVEA_INLINE V load(const float* p, int lanes) {
  return lanes == V::kLanes ? V::load(p) : V::load_partial(p, lanes);
}
template <class V>
FOVEA_INLINE void store(V v, float* p, int lanes) {
  lanes == V::kLanes ? v.store(p) : v.store_partial(p, lanes);
}

// Calls body(offset, lanes) over a row.
template <class V, class Body>
FOVEA_INLINE void row(int64_t n, const Body& body) {
  int64_t i = 0;
  for (; i + V::kLanes <= n; i += V::kLanes) body(i, V::kLanes);
  if (i < n) body(i, int(n - i));
}

// Lanes past the end are -Inf, which is neutral for the maximum and whose exponential is zero.
template <class V>
FOVEA_INLINE V load_or_lowest(const float* p, int lanes) {
  return select(V::first_lanes(lanes), load<V>(p, lanes), V::splat(-INFINITY));
}

template <class V>
void row_statistics(const float* x, int64_t n, float* max_out, double* log_sum) {
  V most = V::splat(-INFINITY);
  row<V>(n, [&](int64_t i, int lanes) { most = max(load_or_lowest<V>(x + i, lanes), most); });
  const float top = reduce_max(most);
  const V shift = V::splat(top);
  V sum = V::zero();
  row<V>(n, [&](int64_t i, int lanes) { sum = sum + exp<V>(load_or_lowest<V>(x + i, lanes) - shift); });
  *max_out = top;
  *log_sum = log(double(reduce_add(sum)));
}

template <class V>
void softmax_row(const float* x, float* y, int64_t n, bool as_log) {
  if (as_log) {
    float top;
    double log_sum;
    row_statistics<V>(x, n, &top, &log_sum);
    const V shift = V::splat(top), rest = V::splat(float(log_sum));
    row<V>(n, [&](int64_t i, int lanes) { store<V>(load<V>(x + i, lanes) - shift - rest, y + i, lanes); });
    return;
  }
  V most = V::splat(-INFINITY), sum = V::zero();
  row<V>(n, [&](int64_t i, int lanes) { most = max(load_or_lowest<V>(x + i, lanes), most); });
  const V shift = V::splat(reduce_max(most));
  row<V>(n, [&](int64_t i, int lanes) {
    const V e = exp<V>(load_or_lowest<V>(x + i, lanes) - shift);
    sum = sum + e;
    store<V>(e, y + i, lanes);
  });
  const V total = V::splat(reduce_add(sum));
  row<V>(n, [&](int64_t i, int lanes) { store<V>(load<V>(y + i, lanes) / total, y + i, lanes); });
}

template <class V>
void softmax_row_backward(const float* dy, const float* y, float* dx, int64_t n, bool as_log) {
  V sum = V::zero();
  row<V>(n, [&](int64_t i, int lanes) {
    const V d = load<V>(dy + i, lanes);
    sum = sum + (as_log ? d : d * load<V>(y + i, lanes));
  });
  const V total = V::splat(reduce_add(sum));
  row<V>(n, [&](int64_t i, int lanes) {
    const V d = load<V>(dy + i, lanes), v = load<V>(y + i, lanes);
    store<V>(as_log ? d - exp<V>(v) * total : v * (d - total), dx + i, lanes);
  });
}

template <class V>
void scaled_probabilities(const float* x, float max, float log_sum, float factor, float* dx, int64_t n) {
  const V shift = V::splat(max), rest = V::splat(log_sum), scale = V::splat(factor);
  row<V>(n,
         [&](int64_t i, int lanes) { store<V>(exp<V>(load<V>(x + i, lanes) - shift - rest) * scale, dx + i, lanes); });
}

template <class V>
FOVEA_INLINE Block<V> load16(const float* p, int lanes) {
  return lanes == 16 ? Block<V>::load(p) : Block<V>::load_partial(p, lanes);
}
template <class V>
FOVEA_INLINE void store16(Block<V> v, float* p, int lanes) {
  lanes == 16 ? v.store(p) : v.store_partial(p, lanes);
}

template <class V>
void column_statistics(const float* x, int64_t classes, int64_t stride, int lanes, float* max_out, double* log_sum) {
  Block<V> most = load16<V>(x, lanes), sum = Block<V>::zero();
  for (int64_t c = 1; c < classes; ++c) most = max(load16<V>(x + c * stride, lanes), most);
  for (int64_t c = 0; c < classes; ++c) sum = sum + exp<V>(load16<V>(x + c * stride, lanes) - most);
  float sums[16];
  sum.store(sums);
  most.store_partial(max_out, lanes);
  for (int i = 0; i < lanes; ++i) log_sum[i] = log(double(sums[i]));
}

template <class V>
void softmax_columns(const float* x, float* y, int64_t classes, int64_t stride, int lanes, bool as_log) {
  float top[16] = {}, rest[16] = {};
  double log_sum[16];
  column_statistics<V>(x, classes, stride, lanes, top, log_sum);
  for (int i = 0; i < lanes; ++i) rest[i] = float(as_log ? log_sum[i] : ::exp(log_sum[i]));
  const Block<V> shift = Block<V>::load(top), last = Block<V>::load(rest);
  for (int64_t c = 0; c < classes; ++c) {
    const Block<V> v = load16<V>(x + c * stride, lanes) - shift;
    store16<V>(as_log ? v - last : exp<V>(v) / last, y + c * stride, lanes);
  }
}

template <class V>
void softmax_columns_backward(const float* dy, const float* y, float* dx, int64_t classes, int64_t stride, int lanes,
                              bool as_log) {
  Block<V> sum = Block<V>::zero();
  for (int64_t c = 0; c < classes; ++c) {
    const Block<V> d = load16<V>(dy + c * stride, lanes);
    sum = sum + (as_log ? d : d * load16<V>(y + c * stride, lanes));
  }
  for (int64_t c = 0; c < classes; ++c) {
    const Block<V> d = load16<V>(dy + c * stride, lanes), v = load16<V>(y + c * stride, lanes);
    store16<V>(as_log ? d - exp<V>(v) * sum : v * (d - sum), dx + c * stride, lanes);
  }
}

template <class V>
void scaled_probabilities_columns(const float* x, const float* max, const float* log_sum, const float* factor,
                                  float* dx, int64_t classes, int64_t stride, int lanes) {
  const Block<V> shift = load16<V>(max, lanes), rest = load16<V>(log_sum, lanes), scale = load16<V>(factor, lanes);
  for (int64_t c = 0; c < classes; ++c) {
    store16<V>(exp<V>(load16<V>(x + c * stride, lanes) - shift - rest) * scale, dx + c * stride, lanes);
  }
}

template <class V>
constexpr SoftmaxKernels instance(const char* isa) {
  return {isa,
          row_statistics<V>,
          softmax_row<V>,
          softmax_row_backward<V>,
          scaled_probabilities<V>,
          column_statistics<V>,
          softmax_columns<V>,
          softmax_columns_backward<V>,
          scaled_probabilities_columns<V>};
}

}  // namespace softmax
}  // namespace fovea
