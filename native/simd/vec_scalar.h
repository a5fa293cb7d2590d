// Four float lanes by compiler vector extensions: SSE2 on every x86-64, NEON on arm64. The same names as vec_avx2.h and
// vec_avx512.h, each in its own namespace so that inline code of different instruction sets never shares a symbol.
#pragma once
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "simd/macros.h"

namespace fovea {
namespace simd {
namespace scalar {

typedef float Raw __attribute__((vector_size(16)));
typedef int32_t RawInt __attribute__((vector_size(16)));

// One truth value per lane.
struct Mask {
  RawInt v;
};

struct F32 {
  using Sum = F32;                          // what products of it are added up in
  static constexpr int kRoundedAtOnce = 0;  // vectors that become bfloat16 together; 0: they do not
  static constexpr int kLanes = 4, kRegisters = 16;
  Raw v;

  static FOVEA_INLINE F32 zero() { return {Raw{0, 0, 0, 0}}; }
  static FOVEA_INLINE F32 splat(float x) { return {Raw{x, x, x, x}}; }
  static FOVEA_INLINE F32 splat_at(const float* p) { return splat(*p); }
  // No alignment is asked for anywhere.
  static FOVEA_INLINE F32 load(const float* p) {
    F32 r;
    memcpy(&r.v, p, sizeof(r.v));
    return r;
  }
  FOVEA_INLINE void store(float* p) const { memcpy(p, &v, sizeof(v)); }
  // To memory without a place in the caches, where the instruction set can: at multiples of a vector's size only, and
  // in order with what follows only after stores_are_seen().
  FOVEA_INLINE void store_past_caches(float* p) const { store(p); }
  // The first n lanes, 0 <= n <= kLanes; the others read as zero and are not touched in memory.
  static FOVEA_INLINE F32 load_partial(const float* p, int n) {
    F32 r = zero();
    for (int i = 0; i < n && i < kLanes; ++i) r.v[i] = p[i];
    return r;
  }
  FOVEA_INLINE void store_partial(float* p, int n) const {
    for (int i = 0; i < n && i < kLanes; ++i) p[i] = v[i];
  }
  // Lane i takes block[lanes[i]] of a block of 16, or zero where lanes[i] is negative.
  static FOVEA_INLINE F32 taken(const float* block, const int32_t* lanes) {
    F32 r = zero();
    for (int i = 0; i < kLanes; ++i)
      if (lanes[i] >= 0) r.v[i] = block[lanes[i]];
    return r;
  }
  // Lane i takes lane i ^ kBit: kBit is a power of two below kLanes.
  template <int kBit>
  FOVEA_INLINE F32 swapped() const {
    return {Raw{v[0 ^ kBit], v[1 ^ kBit], v[2 ^ kBit], v[3 ^ kBit]}};
  }
  // True in the first n lanes.
  static FOVEA_INLINE Mask first_lanes(int n) { return {RawInt(RawInt{0, 1, 2, 3} < RawInt{n, n, n, n})}; }
  // True in the lanes whose bit is set: the opposite of bits(). Bits beyond the lanes do not matter.
  static FOVEA_INLINE Mask lanes_of(uint32_t bits) {
    const RawInt lane{1, 2, 4, 8}, all{int32_t(bits), int32_t(bits), int32_t(bits), int32_t(bits)};
    return {RawInt((all & lane) == lane)};
  }
  // kLanes unsigned bytes as floats.
  static FOVEA_INLINE F32 load_u8(const uint8_t* p) {
    return {Raw{float(p[0]), float(p[1]), float(p[2]), float(p[3])}};
  }
  // Lanes that hold whole numbers of the other type's range, cut to it.
  FOVEA_INLINE void store_u8(uint8_t* p) const {
    for (int i = 0; i < kLanes; ++i) p[i] = uint8_t(v[i]);
  }
  static FOVEA_INLINE F32 load_i32(const int32_t* p) {
    return {Raw{float(p[0]), float(p[1]), float(p[2]), float(p[3])}};
  }
  FOVEA_INLINE void store_i32(int32_t* p) const {
    for (int i = 0; i < kLanes; ++i) p[i] = int32_t(v[i]);
  }
};

// Lanes 0, 2, 4 … of both.
FOVEA_INLINE F32 even_lanes(F32 a, F32 b) { return {Raw{a.v[0], a.v[2], b.v[0], b.v[2]}}; }
FOVEA_INLINE F32 operator+(F32 a, F32 b) { return {a.v + b.v}; }
FOVEA_INLINE F32 operator-(F32 a, F32 b) { return {a.v - b.v}; }
FOVEA_INLINE F32 operator*(F32 a, F32 b) { return {a.v * b.v}; }
FOVEA_INLINE F32 operator/(F32 a, F32 b) { return {a.v / b.v}; }
// a * b + c, rounded once where the instruction set can.
FOVEA_INLINE F32 fma(F32 a, F32 b, F32 c) { return {a.v * b.v + c.v}; }
// sum = a * b + sum, in the register that holds sum: keeps long unrolled loops free of moves and spills.
FOVEA_INLINE void accumulate(F32& sum, F32 a, F32 b) { sum = fma(a, b, sum); }
// The same with *a in every lane, loaded by the multiply-add itself where it can.
FOVEA_INLINE void accumulate(F32& sum, const float* a, F32 b) { accumulate(sum, F32::splat(*a), b); }
// Has x computed here, in a register, instead of again at each use.
FOVEA_INLINE void keep(F32&) {}
FOVEA_INLINE F32 sqrt(F32 a) { return {Raw{sqrtf(a.v[0]), sqrtf(a.v[1]), sqrtf(a.v[2]), sqrtf(a.v[3])}}; }

FOVEA_INLINE Mask greater(F32 a, F32 b) { return {RawInt(a.v > b.v)}; }
FOVEA_INLINE Mask equal(F32 a, F32 b) { return {RawInt(a.v == b.v)}; }
FOVEA_INLINE Mask is_nan(F32 a) { return {RawInt(a.v != a.v)}; }
FOVEA_INLINE Mask operator|(Mask a, Mask b) { return {a.v | b.v}; }
FOVEA_INLINE Mask operator&(Mask a, Mask b) { return {a.v & b.v}; }
// Bit i is lane i.
FOVEA_INLINE uint32_t bits(Mask m) {
  return (uint32_t(m.v[0]) & 1) | (uint32_t(m.v[1]) & 2) | (uint32_t(m.v[2]) & 4) | (uint32_t(m.v[3]) & 8);
}
FOVEA_INLINE F32 select(Mask m, F32 yes, F32 no) { return {(Raw)((m.v & (RawInt)yes.v) | (~m.v & (RawInt)no.v))}; }

// b where either is NaN, and where they are equal: relu(x) = max(zero, x) lets NaN through.
FOVEA_INLINE F32 max(F32 a, F32 b) { return select(greater(a, b), a, b); }
FOVEA_INLINE F32 min(F32 a, F32 b) { return select(greater(b, a), a, b); }

// Sum of the lanes, as a tree of fixed shape.
// Of the bits.
FOVEA_INLINE F32 operator|(F32 a, F32 b) { return {(Raw)((RawInt)a.v | (RawInt)b.v)}; }

FOVEA_INLINE float reduce_add(F32 a) { return (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]); }

// Largest lane; unspecified among NaN.
FOVEA_INLINE float reduce_max(F32 a) {
  const float x = a.v[0] > a.v[2] ? a.v[0] : a.v[2], y = a.v[1] > a.v[3] ? a.v[1] : a.v[3];
  return x > y ? x : y;
}

// The nearest whole number, ties to even, for |a| < 2^22.
FOVEA_INLINE F32 round_even(F32 a) {
  const F32 magic = F32::splat(12582912.0f);  // 1.5 * 2^23: no room for a fraction is left
  return (a + magic) - magic;
}

// a * 2^n for whole n in [-250, 250], through two factors so that results may be denormal.
FOVEA_INLINE F32 scale_pow2(F32 a, F32 n) {
  const RawInt whole = {int32_t(n.v[0]), int32_t(n.v[1]), int32_t(n.v[2]), int32_t(n.v[3])};
  const RawInt half = whole >> 1;
  return {a.v * (Raw)((half + 127) << 23) * (Raw)((whole - half + 127) << 23)};
}

// rows[i] lane j becomes rows[j] lane i, kLanes rows.
FOVEA_INLINE void transpose(F32* rows) {
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < i; ++j) {
      const float t = rows[i].v[j];
      rows[i].v[j] = rows[j].v[i];
      rows[j].v[i] = t;
    }
  }
}

typedef uint64_t RawWide __attribute__((vector_size(16)));

// Lanes of 64 bits for counter-based random numbers.
struct U64 {
  static constexpr int kLanes = 2;
  RawWide v;

  static FOVEA_INLINE U64 splat(uint64_t x) { return {RawWide{x, x}}; }
  static FOVEA_INLINE U64 load(const uint64_t* p) {
    U64 r;
    memcpy(&r.v, p, sizeof(r.v));
    return r;
  }
  FOVEA_INLINE void store(uint64_t* p) const { memcpy(p, &v, sizeof(v)); }
};

FOVEA_INLINE U64 operator^(U64 a, U64 b) { return {a.v ^ b.v}; }
FOVEA_INLINE U64 high_half(U64 a) { return {a.v >> 32}; }
// The product of the low halves; what the high halves hold does not matter.
FOVEA_INLINE U64 multiply_low(U64 a, U64 b) { return {(a.v & 0xffffffffu) * (b.v & 0xffffffffu)}; }

}  // namespace scalar
}  // namespace simd
}  // namespace fovea
