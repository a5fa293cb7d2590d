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

template <class V, class Op, class T = float>
void binary(const T* a, int a_step, const T* b, int b_step, T* y, int64_t n) {
  constexpr int L = V::kLanes;
  const V a0 = V::splat_at(a), b0 = V::splat_at(b);  // n >= 1
  int64_t i = 0;
  for (; i + L <= n; i += L) {
    const V result = Op::apply(a_step ? V::load(a + i) : a0, b_step ? V::load(b + i) : b0);
    result.store(y + i);
  }
  if (i == n) return;
  const int left = int(n - i);
  const V result = Op::apply(a_step ? V::load_partial(a + i, left) : a0, b_step ? V::load_partial(b + i, left) : b0);
  result.store_partial(y + i, left);
}

template <class V, class T = float>
void relu(const T* x, T* y, int64_t n) {
  constexpr int L = V::kLanes;
  int64_t i = 0;
  for (; i + L <= n; i += L) V(max(V::zero(), V::load(x + i))).store(y + i);
  if (i < n) V(max(V::zero(), V::load_partial(x + i, int(n - i)))).store_partial(y + i, int(n - i));
}

template <class V, class T = float>
void relu_backward(const T* dy, const T* y, T* dx, int64_t n) {
  constexpr int L = V::kLanes;
  const auto passed = [](V d, V at) -> V { return select(greater(at, V::zero()), d, V::zero()); };
  int64_t i = 0;
  for (; i + L <= n; i += L) passed(V::load(dy + i), V::load(y + i)).store(dx + i);
  if (i == n) return;
  const int left = int(n - i);
  passed(V::load_partial(dy + i, left), V::load_partial(y + i, left)).store_partial(dx + i, left);
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

// Sixteen Philox4x32-10 blocks at once: word k of block[j] goes to words[j * kBlockStep + k * kWordStep]. A word stands
// in the low half of a 64-bit lane; what the high half holds is cut off at the end.
template <class W, int kBlockStep, int kWordStep>
FOVEA_INLINE void philox16(const uint64_t* block, const DropoutParams& params, uint32_t* words) {
  constexpr int L = W::kLanes;
  const W m0 = W::splat(0xD2511F53u), m1 = W::splat(0xCD9E8D57u);
  for (int j = 0; j < 16; j += L) {
    W c0 = W::load(block + j), c1 = high_half(c0), c2 = W::splat(params.run[0]), c3 = W::splat(params.run[1]);
    uint32_t k0 = params.key[0], k1 = params.key[1];
    for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
      const W p0 = multiply_low(m0, c0), p1 = multiply_low(m1, c2);
      c0 = high_half(p1) ^ c1 ^ W::splat(k0), c2 = high_half(p0) ^ c3 ^ W::splat(k1);
      c1 = p1, c3 = p0;
    }
    uint64_t out[4][L];
    c0.store(out[0]), c1.store(out[1]), c2.store(out[2]), c3.store(out[3]);
    for (int k = 0; k < 4; ++k) {
      for (int i = 0; i < L; ++i) words[(j + i) * kBlockStep + k * kWordStep] = uint32_t(out[k][i]);
    }
  }
}

// One where the element is kept, else zero. threshold is 2^32 when all are dropped, which no 32-bit word reaches.
template <class V>
FOVEA_INLINE void keep_words(const uint32_t* words, int n, uint64_t threshold, float* keep) {
  const uint32_t least = threshold > 0xffffffffu ? 0xffffffffu : uint32_t(threshold);
  const float kept = threshold > 0xffffffffu ? 0.0f : 1.0f;
  for (int i = 0; i < n; ++i) keep[i] = words[i] >= least ? kept : 0.0f;
}

template <class V>
FOVEA_INLINE void drop(const float* x, const float* keep, int n, float scale, float* y) {
  constexpr int L = V::kLanes;
  for (int i = 0; i < n; i += L) {
    const int lanes = n - i < L ? n - i : L;
    const V mask = V::load_partial(keep + i, lanes), v = V::load_partial(x + i, lanes) * V::splat(scale);
    select(greater(mask, V::zero()), v, V::zero()).store_partial(y + i, lanes);
  }
}

// The next multiple of 64 elements at a time, because one call of philox16 makes the words of 64 consecutive elements.
template <class V, class W>
void dropout(const float* x, float* y, uint64_t first, int64_t n, const DropoutParams& params) {
  uint64_t block[16];
  uint32_t words[64];
  float keep[64];
  const uint64_t end = first + uint64_t(n);
  for (uint64_t base = first / 64 * 64; base < end; base += 64) {
    for (int j = 0; j < 16; ++j) block[j] = base / 4 + uint64_t(j);
    philox16<W, 4, 1>(block, params, words);
    keep_words<V>(words, 64, params.threshold, keep);
    const uint64_t from = base < first ? first : base, to = base + 64 < end ? base + 64 : end;
    drop<V>(x + (from - first), keep + (from - base), int(to - from), params.scale, y + (from - first));
  }
}

template <class V, class W>
void dropout_blocked(const float* x, float* y, uint64_t first, uint64_t lane_stride, int64_t pixels,
                     const DropoutParams& params) {
  const bool aligned = first % 4 == 0 && lane_stride % 4 == 0;  // then the lanes change their counters together
  uint64_t block[16];
  uint32_t words[64];  // [4][16]
  float keep[64];
  for (int64_t i = 0; i < pixels; ++i, x += 16, y += 16) {
    if (!aligned || i % 4 == 0) {
      for (int c = 0; c < 16; ++c) block[c] = (first + uint64_t(c) * lane_stride + uint64_t(i)) / 4;
      philox16<W, 1, 16>(block, params, words);
      if (aligned) keep_words<V>(words, 64, params.threshold, keep);
    }
    if (!aligned) {
      for (int c = 0; c < 16; ++c) words[c] = words[((first + uint64_t(c) * lane_stride + uint64_t(i)) & 3) * 16 + c];
      keep_words<V>(words, 16, params.threshold, keep);
    }
    drop<V>(x, aligned ? keep + i % 4 * 16 : keep, 16, params.scale, y);
  }
}

template <class V, class W>
constexpr EltwiseKernels instance(const char* isa) {
  return {isa,           relu<V>,          relu_backward<V>, binary<V, Add>, binary<V, Sub>,       binary<V, Mul>,
          accumulate<V>, normalize_f32<V>, normalize_u8<V>,  dropout<V, W>,  dropout_blocked<V, W>};
}

template <class V>
constexpr EltwiseBf16Kernels bf16_instance(const char* isa) {
  return {isa,
          relu<V, Bfloat16>,
          relu_backward<V, Bfloat16>,
          binary<V, Add, Bfloat16>,
          binary<V, Sub, Bfloat16>,
          binary<V, Mul, Bfloat16>};
}

}  // namespace eltwise
}  // namespace fovea
