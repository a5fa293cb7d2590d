// Sixteen float lanes, one pixel of the blocked layout, as as many vectors as the instruction set needs. Every name
// here is a template over V, so that the symbols of different instruction sets stay apart.
#pragma once
#include <stdint.h>

#include "simd/macros.h"

namespace fovea {
namespace simd {

template <class V, class M>
struct BlockMask {
  M part[16 / V::kLanes];
};

template <class V>
struct Block {
  static constexpr int kParts = 16 / V::kLanes;
  V part[kParts];

  static FOVEA_INLINE Block zero() { return splat(0); }
  static FOVEA_INLINE Block splat(float x) {
    Block r;
    UNROLL for (int i = 0; i < kParts; ++i)
      r.part[i] = V::splat(x);
    return r;
  }
  // T is float, or another form that the vectors can have in memory.
  template <class T>
  static FOVEA_INLINE Block load(const T* p) {
    Block r;
    UNROLL for (int i = 0; i < kParts; ++i)
      r.part[i] = V::load(p + i * V::kLanes);
    return r;
  }
  template <class T>
  FOVEA_INLINE void store(T* p) const {
    UNROLL for (int i = 0; i < kParts; ++i)
      part[i].store(p + i * V::kLanes);
  }

  // The first n of 16 lanes; the others read as zero and are not written.
  template <class T>
  static FOVEA_INLINE Block load_partial(const T* p, int n) {
    Block r;
    UNROLL for (int i = 0; i < kParts; ++i) {
      const int left = n - i * V::kLanes;
      r.part[i] = left > 0 ? V::load_partial(p + i * V::kLanes, left) : V::zero();
    }
    return r;
  }
  template <class T>
  FOVEA_INLINE void store_partial(T* p, int n) const {
    UNROLL for (int i = 0; i < kParts; ++i) {
      const int left = n - i * V::kLanes;
      if (left > 0) part[i].store_partial(p + i * V::kLanes, left);
    }
  }

  static FOVEA_INLINE Block load_u8(const unsigned char* p) {
    Block r;
    UNROLL for (int i = 0; i < kParts; ++i)
      r.part[i] = V::load_u8(p + i * V::kLanes);
    return r;
  }
  FOVEA_INLINE void store_u8(unsigned char* p) const {
    UNROLL for (int i = 0; i < kParts; ++i)
      part[i].store_u8(p + i * V::kLanes);
  }
  static FOVEA_INLINE Block load_i32(const int* p) {
    Block r;
    UNROLL for (int i = 0; i < kParts; ++i)
      r.part[i] = V::load_i32(p + i * V::kLanes);
    return r;
  }
  FOVEA_INLINE void store_i32(int* p) const {
    UNROLL for (int i = 0; i < kParts; ++i)
      part[i].store_i32(p + i * V::kLanes);
  }
};

#define FOVEA_BLOCK_BINARY(name)                       \
  template <class V>                                   \
  FOVEA_INLINE Block<V> name(Block<V> a, Block<V> b) { \
    UNROLL for (int i = 0; i < Block<V>::kParts; ++i)  \
      a.part[i] = name(a.part[i], b.part[i]);          \
    return a;                                          \
  }
#define FOVEA_BLOCK_OPERATOR(op)                              \
  template <class V>                                          \
  FOVEA_INLINE Block<V> operator op(Block<V> a, Block<V> b) { \
    UNROLL for (int i = 0; i < Block<V>::kParts; ++i)         \
      a.part[i] = a.part[i] op b.part[i];                     \
    return a;                                                 \
  }
FOVEA_BLOCK_OPERATOR(+)
FOVEA_BLOCK_OPERATOR(-)
FOVEA_BLOCK_OPERATOR(*)
FOVEA_BLOCK_OPERATOR(/)
FOVEA_BLOCK_BINARY(max)
FOVEA_BLOCK_BINARY(min)
#undef FOVEA_BLOCK_BINARY
#undef FOVEA_BLOCK_OPERATOR

template <class V>
FOVEA_INLINE Block<V> fma(Block<V> a, Block<V> b, Block<V> c) {
  UNROLL for (int i = 0; i < Block<V>::kParts; ++i)
    c.part[i] = fma(a.part[i], b.part[i], c.part[i]);
  return c;
}

template <class V>
using MaskOf = BlockMask<V, decltype(greater(V::zero(), V::zero()))>;

template <class V>
FOVEA_INLINE MaskOf<V> greater(Block<V> a, Block<V> b) {
  MaskOf<V> m;
  UNROLL for (int i = 0; i < Block<V>::kParts; ++i)
    m.part[i] = greater(a.part[i], b.part[i]);
  return m;
}

template <class V>
FOVEA_INLINE MaskOf<V> equal(Block<V> a, Block<V> b) {
  MaskOf<V> m;
  UNROLL for (int i = 0; i < Block<V>::kParts; ++i)
    m.part[i] = equal(a.part[i], b.part[i]);
  return m;
}

// Bit i is lane i, and back.
template <class V, class M>
FOVEA_INLINE uint16_t bits(BlockMask<V, M> m) {
  uint32_t all = 0;
  UNROLL for (int i = 0; i < Block<V>::kParts; ++i)
    all |= bits(m.part[i]) << (i * V::kLanes);
  return uint16_t(all);
}

template <class V>
FOVEA_INLINE MaskOf<V> lanes_of(uint16_t bits) {
  MaskOf<V> m;
  UNROLL for (int i = 0; i < Block<V>::kParts; ++i)
    m.part[i] = V::lanes_of(uint32_t(bits) >> (i * V::kLanes));
  return m;
}

// The same as two bytes, which may stand anywhere.
template <class V, class M>
FOVEA_INLINE void store_bits(BlockMask<V, M> m, uint8_t* p) {
  const uint16_t all = bits(m);
  p[0] = uint8_t(all), p[1] = uint8_t(all >> 8);
}
template <class V>
FOVEA_INLINE MaskOf<V> load_bits(const uint8_t* p) {
  return lanes_of<V>(uint16_t(p[0] | p[1] << 8));
}

// Where a takes the place of b as the maximum: a is larger, or is the first NaN.
template <class V>
FOVEA_INLINE MaskOf<V> beats(Block<V> a, Block<V> b) {
  MaskOf<V> m;
  UNROLL for (int i = 0; i < Block<V>::kParts; ++i) {
    m.part[i] = greater(a.part[i], b.part[i]) | (is_nan(a.part[i]) & equal(b.part[i], b.part[i]));
  }
  return m;
}

template <class V, class M>
FOVEA_INLINE Block<V> select(BlockMask<V, M> m, Block<V> yes, Block<V> no) {
  UNROLL for (int i = 0; i < Block<V>::kParts; ++i)
    no.part[i] = select(m.part[i], yes.part[i], no.part[i]);
  return no;
}

}  // namespace simd
}  // namespace fovea
