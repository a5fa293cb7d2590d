// The one template behind eltwise.h.
#pragma once
#include "kernels/eltwise/eltwise.h"
#include "simd/macros.h"

namespace fovea {
namespace eltwise {

struct Add {
  template <class V>
  static FOVEA_INLINE V apply(V a, V b) {
    return a + b;
  }
};
struct Sub {
  template <class V>
  static FOVEA_INLINE V apply(V a, V b) {
    return a - b;
  }
};
struct Mul {
  template <class V>
  static FOVEA_INLINE V apply(V a, V b) {
    return a * b;
  }
};

template <class V, class Op>
void binary(const float* a, int a_step, const float* b, int b_step, float* y, int64_t n) {
  constexpr int L = V::kLanes;
  const V a0 = V::splat(a[0]), b0 = V::splat(b[0]);  // n >= 1
  int64_t i = 0;
  for (; i + L <= n; i += L) {
    Op::apply(a_step ? V::load(a + i) : a0, b_step ? V::load(b + i) : b0).store(y + i);
  }
  if (i == n) return;
  const int left = int(n - i);
  Op::apply(a_step ? V::load_partial(a + i, left) : a0, b_step ? V::load_partial(b + i, left) : b0)
      .store_partial(y + i, left);
}

template <class V>
void relu(const float* x, float* y, int64_t n) {
  constexpr int L = V::kLanes;
  int64_t i = 0;
  for (; i + L <= n; i += L) max(V::zero(), V::load(x + i)).store(y + i);
  if (i < n) max(V::zero(), V::load_partial(x + i, int(n - i))).store_partial(y + i, int(n - i));
}

template <class V>
void relu_backward(const float* dy, const float* y, float* dx, int64_t n) {
  constexpr int L = V::kLanes;
  int64_t i = 0;
  for (; i + L <= n; i += L) select(greater(V::load(y + i), V::zero()), V::load(dy + i), V::zero()).store(dx + i);
  if (i == n) return;
  const int left = int(n - i);
  select(greater(V::load_partial(y + i, left), V::zero()), V::load_partial(dy + i, left), V::zero())
      .store_partial(dx + i, left);
}

template <class V>
void accumulate(const float* x, float* y, int64_t n) {
  constexpr int L = V::kLanes;
  int64_t i = 0;
  for (; i + L <= n; i += L) (V::load(y + i) + V::load(x + i)).store(y + i);
  const int left = int(n - i);
  if (left) (V::load_partial(y + i, left) + V::load_partial(x + i, left)).store_partial(y + i, left);
}

template <class V>
void normalize_f32(const float* x, float scale, float mean, float std, float* y, int64_t n) {
  constexpr int L = V::kLanes;
  const V vs = V::splat(scale), vm = V::splat(mean), vd = V::splat(std);
  int64_t i = 0;
  for (; i + L <= n; i += L) ((V::load(x + i) * vs - vm) / vd).store(y + i);
  if (i < n) ((V::load_partial(x + i, int(n - i)) * vs - vm) / vd).store_partial(y + i, int(n - i));
}

template <class V>
void normalize_u8(const uint8_t* x, float scale, float mean, float std, float* y, int64_t n) {
  constexpr int L = V::kLanes;
  const V vs = V::splat(scale), vm = V::splat(mean), vd = V::splat(std);
  int64_t i = 0;
  for (; i + L <= n; i += L) ((V::load_u8(x + i) * vs - vm) / vd).store(y + i);
  if (i == n) return;
  uint8_t tail[L] = {};
  for (int64_t j = i; j < n; ++j) tail[j - i] = x[j];
  ((V::load_u8(tail) * vs - vm) / vd).store_partial(y + i, int(n - i));
}

// Sixteen Philox4x32-10 blocks at once: words[k][j] is word k of the counter (low[j], high[j], run). Plain loops over
// lanes: the compiler turns them into the 32 x 32 -> 64 multiplications of the instruction set.
template <class V>
FOVEA_INLINE void philox16(const uint64_t* block, const DropoutParams& params, uint32_t words[4][16]) {
  uint32_t c0[16], c1[16], c2[16], c3[16];
  for (int j = 0; j < 16; ++j) {
    c0[j] = uint32_t(block[j]), c1[j] = uint32_t(block[j] >> 32);
    c2[j] = params.run[0], c3[j] = params.run[1];
  }
  uint32_t k0 = params.key[0], k1 = params.key[1];
  for (int round = 0; round < 10; ++round) {
    for (int j = 0; j < 16; ++j) {
      const uint64_t p0 = uint64_t(0xD2511F53u) * c0[j], p1 = uint64_t(0xCD9E8D57u) * c2[j];
      const uint32_t n0 = uint32_t(p1 >> 32) ^ c1[j] ^ k0, n2 = uint32_t(p0 >> 32) ^ c3[j] ^ k1;
      c0[j] = n0, c1[j] = uint32_t(p1), c2[j] = n2, c3[j] = uint32_t(p0);
    }
    k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
  }
  for (int j = 0; j < 16; ++j) words[0][j] = c0[j], words[1][j] = c1[j], words[2][j] = c2[j], words[3][j] = c3[j];
}

// The next multiple of 64 elements at a time, because one call of philox16 makes the words of 64 consecutive elements.
template <class V>
void dropout(const float* x, float* y, uint64_t first, int64_t n, const DropoutParams& params) {
  uint64_t block[16];
  uint32_t words[4][16];
  const uint64_t end = first + uint64_t(n);
  for (uint64_t base = first / 64 * 64; base < end; base += 64) {
    for (int j = 0; j < 16; ++j) block[j] = base / 4 + uint64_t(j);
    philox16<V>(block, params, words);
    const uint64_t from = base < first ? first : base, to = base + 64 < end ? base + 64 : end;
    for (uint64_t i = from; i < to; ++i) {
      const uint32_t word = words[i & 3][(i - base) >> 2];
      y[i - first] = word >= params.threshold ? x[i - first] * params.scale : 0.0f;
    }
  }
}

template <class V>
void dropout_blocked(const float* x, float* y, uint64_t first, uint64_t lane_stride, int64_t pixels,
                     const DropoutParams& params) {
  const bool aligned = first % 4 == 0 && lane_stride % 4 == 0;  // then the lanes change their counters together
  uint64_t block[16];
  uint32_t words[4][16];
  for (int64_t i = 0; i < pixels; ++i, x += 16, y += 16) {
    if (!aligned || i % 4 == 0) {
      for (int c = 0; c < 16; ++c) block[c] = (first + uint64_t(c) * lane_stride + uint64_t(i)) / 4;
      philox16<V>(block, params, words);
    }
    for (int c = 0; c < 16; ++c) {
      const uint32_t word = words[(first + uint64_t(c) * lane_stride + uint64_t(i)) & 3][c];
      y[c] = word >= params.threshold ? x[c] * params.scale : 0.0f;
    }
  }
}

template <class V>
constexpr EltwiseKernels instance(const char* isa) {
  return {isa,           relu<V>,          relu_backward<V>, binary<V, Add>, binary<V, Sub>,    binary<V, Mul>,
          accumulate<V>, normalize_f32<V>, normalize_u8<V>,  dropout<V>,     dropout_blocked<V>};
}

}  // namespace eltwise
}  // namespace fovea
