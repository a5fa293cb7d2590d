// The template behind both instances. int16.h says what the kernels do.
//
// P is a vector of pairs, which has beside what tile.inl.h asks for: Float, a vector of as many floats, and for Sum,
// its vector of 32-bit integers, round() and to_float(). Sixteen lanes are 16 / P::kLanes vectors, `part` by `part`.
#pragma once
#include <math.h>

#include "kernels/brgemm/tile.inl.h"
#include "kernels/int16/int16.h"

namespace fovea {
namespace int16 {

template <class P>
constexpr int kParts = 16 / P::kLanes;

// The sums take one scale after the other: the product of two small ones may be too small for a float.
template <class P, int M, int NB>
void tile(const Int16Multiply& call, int block, int first) {
  using F32 = typename P::Float;
  using Sums = BrgemmSums<P, M, NB>;
  constexpr int U = kBrgemmUnroll;
  Sums sums;
  sums.clear();
  const float* v = call.v + 16 * first;
  BrgemmPanel<NB> u(call.u + block * call.u_block, call.u_block);
  for (int unit = 0; unit < call.units; ++unit, v += call.v_unit) {
    for (int q = 0; q < 16; q += U, u.advance(U)) {
      UNROLL for (int step = 0; step < U; ++step)
        sums.add([&](int i) { return v + 16 * i + q + step; }, u.block, 16 * step);
    }
  }
  const float* const u_scale = call.u_scale + block * call.u_scale_block;
  float* const product = call.product + block * call.product_block + 16 * first;
  UNROLL for (int j = 0; j < Sums::kVectors; ++j) {
    const F32 filters = F32::load(Sums::at(u_scale, j, call.u_scale_block));
    UNROLL for (int i = 0; i < M; ++i) {
      const F32 scale = F32::splat(call.v_scale[first + i]);
      (sums.sum[i][j].to_float() * scale * filters).store(Sums::at(product + 16 * i, j, call.product_block));
    }
  }
}

template <class P, int NB, int... M>
void rows_of(const Int16Multiply& call, int block, int first, int count, std::integer_sequence<int, M...>) {
  using Tile = void (*)(const Int16Multiply&, int, int);
  static constexpr Tile tiles[] = {tile<P, M + 1, NB>...};
  tiles[count - 1](call, block, first);
}

// In parts as even as can be.
template <int kRows>
int parts_of(const Int16Multiply& call) {
  return (call.tiles + kRows - 1) / kRows;
}
template <class P, int kRows, int NB>
void multiply_blocks(const Int16Multiply& call, int block, Asks* asks) {
  const int parts = parts_of<kRows>(call);
  for (int part = 0; part < parts; ++part) {
    const int first = call.tiles * part / parts, end = call.tiles * (part + 1) / parts;
    rows_of<P, NB>(call, block, first, end - first, std::make_integer_sequence<int, kRows>());
    asks->step();
  }
}

template <class P, int kRows, int NB>
void multiply(const Int16Multiply& call) {
  Asks asks(call.ahead, ptrdiff_t((call.blocks + NB - 1) / NB) * parts_of<kRows>(call));
  int block = 0;
  for (; block + NB <= call.blocks; block += NB) multiply_blocks<P, kRows, NB>(call, block, &asks);
  if (block < call.blocks) multiply_blocks<P, kRows, 1>(call, block, &asks);
}

template <class F32>
FOVEA_INLINE F32 magnitude(F32 x) {
  return max(x, F32::zero() - x);
}

template <class P>
float largest_value(const float* v, ptrdiff_t v_step, ptrdiff_t v_block, int rows, int blocks) {
  using F32 = typename P::Float;
  F32 largest = F32::zero();
  for (int f = 0; f < rows; ++f) {
    for (int block = 0; block < blocks; ++block) {
      UNROLL for (int part = 0; part < kParts<P>; ++part)
        largest = max(largest, magnitude(F32::load(v + f * v_step + block * v_block + part * P::kLanes)));
    }
  }
  return reduce_max(largest);
}

// The 2-norm that no row's is beyond: of each lane the largest sum of squares.
template <class P>
float norm_of_rows(const float* v, ptrdiff_t v_step, ptrdiff_t v_block, int rows, int blocks) {
  using F32 = typename P::Float;
  F32 largest[kParts<P>];
  UNROLL for (int part = 0; part < kParts<P>; ++part)
    largest[part] = F32::zero();
  for (int f = 0; f < rows; ++f) {
    UNROLL for (int part = 0; part < kParts<P>; ++part) {
      F32 squares = F32::zero();
      for (int block = 0; block < blocks; ++block) {
        const F32 x = F32::load(v + f * v_step + block * v_block + part * P::kLanes);
        squares = fma(x, x, squares);
      }
      largest[part] = P::larger(largest[part], squares);
    }
  }
  UNROLL for (int part = 1; part < kParts<P>; ++part)
    largest[0] = largest[0] + largest[part];
  const float squares = reduce_add(largest[0]);
  if (int16_squares_hold(squares)) return sqrtf(squares);
  return int16_norm(squares, largest_value<P>(v, v_step, v_block, rows, blocks), 16.f * float(blocks));
}

template <class P>
FOVEA_INLINE void round_rows(const float* v, ptrdiff_t v_step, ptrdiff_t v_block, int rows, int blocks,
                             typename P::Float inverse, float* pairs, ptrdiff_t pairs_step, ptrdiff_t pairs_unit) {
  using F32 = typename P::Float;
  for (int f = 0; f < rows; ++f, v += v_step, pairs += pairs_step) {
    UNROLL for (int part = 0; part < kParts<P>; ++part) {
      const float* const from = v + part * P::kLanes;
      const auto integers = [&](int block) { return P::Sum::round(F32::load(from + block * v_block) * inverse); };
      int block = 0;
      float* to = pairs + part * P::kLanes;
      for (; block + 2 <= blocks; block += 2, to += pairs_unit)
        P::neighbours_of(integers(block), integers(block + 1)).store(to);
      if (block < blocks) P::neighbours_of(integers(block), P::Sum::zero()).store(to);
    }
  }
}

// All norms first: they are long chains of operations, and rounding would wait for each.
template <class P>
void round_tiles(int tiles, const float* v, ptrdiff_t v_step, ptrdiff_t v_block, int rows, int blocks, float* pairs,
                 ptrdiff_t pairs_step, ptrdiff_t pairs_unit, float* scales) {
  for (int t = 0; t < tiles; ++t) scales[t] = norm_of_rows<P>(v + 16 * t, v_step, v_block, rows, blocks);
  for (int t = 0; t < tiles; ++t) {
    const auto inverse = P::Float::splat(int16_inverse(scales[t]));
    round_rows<P>(v + 16 * t, v_step, v_block, rows, blocks, inverse, pairs + 16 * t, pairs_step, pairs_unit);
    scales[t] /= kInt16Norm;
  }
}

template <class P>
void extend(const float* rows, ptrdiff_t count, Int16Extent* extent) {
  using F32 = typename P::Float;
  UNROLL for (int at = 0; at < 16; at += P::kLanes) {
    F32 squares = F32::load(extent->squares + at), largest = F32::load(extent->largest + at);
    for (ptrdiff_t i = 0; i < count; ++i) {
      const F32 x = F32::load(rows + 16 * i + at);
      squares = fma(x, x, squares);
      largest = max(largest, magnitude(x));
    }
    squares.store(extent->squares + at);
    largest.store(extent->largest + at);
  }
}

// The norms of the lanes.
template <class P, class F32 = typename P::Float>
FOVEA_INLINE F32 norms_of(F32 squares, F32 largest, ptrdiff_t count) {
  const F32 low = F32::splat(kInt16LeastSquares), high = F32::splat(kInt16MostSquares);
  const auto hold = (greater(squares, low) & greater(high, squares)) | equal(largest + squares, F32::zero());
  if (bits(hold) == (1u << P::kLanes) - 1) return sqrt(squares);
  alignas(64) float norms[P::kLanes], largest_of[P::kLanes];
  squares.store(norms), largest.store(largest_of);
  for (int lane = 0; lane < P::kLanes; ++lane) norms[lane] = int16_norm(norms[lane], largest_of[lane], float(count));
  return F32::load(norms);
}

// Of the lanes from `rows` on that are one vector.
template <class P>
FOVEA_INLINE void round_part(const float* rows, ptrdiff_t count, float* pairs, float* scale) {
  using F32 = typename P::Float;
  F32 squares[2] = {F32::zero(), F32::zero()}, largest[2] = {F32::zero(), F32::zero()};
  const auto look = [&](ptrdiff_t i, int half) {
    const F32 x = F32::load(rows + 16 * i);
    squares[half] = fma(x, x, squares[half]);
    largest[half] = max(largest[half], magnitude(x));
  };
  ptrdiff_t i = 0;
  for (; i + 2 <= count; i += 2) look(i, 0), look(i + 1, 1);
  if (i < count) look(i, 0);
  const F32 norm = norms_of<P>(squares[0] + squares[1], max(largest[0], largest[1]), count);
  (norm * F32::splat(1 / kInt16Norm)).store(scale);
  const F32 inverse = select(greater(norm, F32::zero()), F32::splat(kInt16Norm) / norm, F32::zero());
  const auto integers = [&](ptrdiff_t i) { return P::Sum::round(F32::load(rows + 16 * i) * inverse); };
  for (i = 0; i + 2 <= count; i += 2, pairs += 16) P::pairs_of(integers(i), integers(i + 1)).store(pairs);
  if (i < count) P::pairs_of(integers(i), P::Sum::zero()).store(pairs);
}

template <class P>
void round_lanes(const float* rows, ptrdiff_t count, float* pairs, float* scale) {
  UNROLL for (int at = 0; at < 16; at += P::kLanes)
    round_part<P>(rows + at, count, pairs + at, scale + at);
}

template <class P>
void round_filters(const float* rows, const float* inverse, float* pairs) {
  using F32 = typename P::Float;
  UNROLL for (int at = 0; at < 16; at += P::kLanes) {
    const F32 scale = F32::load(inverse + at);
    UNROLL for (int q = 0; q < 16; ++q) {
      const float* const from = rows + 16 * int16_first(q) + at;
      P::pairs_of(P::Sum::round(F32::load(from) * scale), P::Sum::round(F32::load(from + 16) * scale))
          .store(pairs + 16 * q + at);
    }
  }
}

// kRows channels by NB blocks of filters stay in registers while all tiles pass.
template <class P, int kRows, int NB>
void multiply_channels(const Int16GradMultiply& call, int filter, int channel) {
  using F32 = typename P::Float;
  using Sums = BrgemmSums<P, kRows, NB>;
  constexpr int U = kBrgemmUnroll;
  Sums sums;
  sums.clear();
  const float* v = call.v + channel / 16 * call.v_block + channel % 16;
  BrgemmPanel<NB> u(call.u + filter * call.u_block, call.u_block);
  int q = 0;
  for (; q + U <= call.pairs; q += U, v += 16 * U, u.advance(U)) {
    UNROLL for (int step = 0; step < U; ++step)
      sums.add([&](int i) { return v + 16 * step + i; }, u.block, 16 * step);
  }
  for (; q < call.pairs; ++q, v += 16, u.advance(1)) sums.add([&](int i) { return v + i; }, u.block, 0);
  float* const product = call.product + filter * call.product_block + 16 * channel;
  UNROLL for (int j = 0; j < Sums::kVectors; ++j) {
    const F32 filters = F32::load(Sums::at(call.u_scale + 16 * filter, j, 16));
    UNROLL for (int i = 0; i < kRows; ++i) {
      float* const to = Sums::at(product + 16 * i, j, call.product_block);
      const F32 before = call.accumulate ? F32::load(to) : F32::zero();
      fma(sums.sum[i][j].to_float() * F32::splat(call.v_scale[channel + i]), filters, before).store(to);
    }
  }
}

template <class P, int kRows, int NB>
void multiply_gradient(const Int16GradMultiply& call) {
  constexpr int kRowsOfOne = NB > 1 ? 2 * kRows : kRows;  // one block of filters leaves room for more channels
  static_assert(16 % kRows == 0 && 16 % kRowsOfOne == 0, "whole blocks of channels");
  const bool odd = call.filters % NB > 0;  // NB <= 2
  Asks asks(call.ahead, ptrdiff_t(call.channels) * (call.filters / NB * (16 / kRows) + odd * (16 / kRowsOfOne)));
  int filter = 0;
  for (; filter + NB <= call.filters; filter += NB) {
    for (int c = 0; c < 16 * call.channels; c += kRows) {
      multiply_channels<P, kRows, NB>(call, filter, c);
      asks.step();
    }
  }
  for (int c = 0; c < 16 * call.channels && filter < call.filters; c += kRowsOfOne) {
    multiply_channels<P, kRowsOfOne, 1>(call, filter, c);
    asks.step();
  }
}

template <class P, int kRows, int kGradRows, int NB>
constexpr Int16Kernels make(const char* name) {
  return {name,
          round_tiles<P>,
          extend<P>,
          round_filters<P>,
          multiply<P, kRows, NB>,
          round_lanes<P>,
          multiply_gradient<P, kGradRows, NB>};
}

}  // namespace int16

// INT16_INSTANCE(name, vector type, tiles at once, channels at once of the gradient, blocks of filters at once)
#define INT16_INSTANCE(name, P, rows, grad_rows, blocks) \
  extern constexpr Int16Kernels name = int16::make<P, rows, grad_rows, blocks>(#name);

}  // namespace fovea
