#include <math.h>

#include "kernels/brgemm/brgemm.inl.h"
#include "kernels/int16/int16.h"
#include "simd/vec_avx512vnni.h"

namespace fovea {
namespace {

using namespace simd::avx512vnni;

constexpr int kRows = 14;  // of tiles, as brgemm's: 14·2 sums + 2 + 1 of 32 registers

// The sums take one scale after the other: the product of two small ones may be too small for a float.
template <int M, int NB>
void tile(const Int16Multiply& call, int first) {
  constexpr int U = kBrgemmUnroll;
  BrgemmSums<Int16Pairs, M, NB> sums;
  sums.clear();
  const float* v = call.v + 16 * first;
  BrgemmPanel<NB> u(call.u, call.u_block);
  for (int unit = 0; unit < call.units; ++unit, v += call.v_unit) {
    for (int q = 0; q < 16; q += U, u.advance(U)) {
      UNROLL for (int step = 0; step < U; ++step)
        sums.add([&](int i) { return v + 16 * i + q + step; }, u.block, 16 * step);
    }
  }
  F32 filters[NB];
  UNROLL for (int j = 0; j < NB; ++j)
    filters[j] = F32::load(call.u_scale + j * call.u_scale_block);
  float* const product = call.product + 16 * first;
  UNROLL for (int i = 0; i < M; ++i) {
    const F32 scale = F32::splat(call.v_scale[first + i]);
    UNROLL for (int j = 0; j < NB; ++j)
      (sums.sum[i][j].to_float() * scale * filters[j]).store(product + 16 * i + j * call.product_block);
  }
}

template <int NB, int... M>
void rows_of(const Int16Multiply& call, int first, int count, std::integer_sequence<int, M...>) {
  using Tile = void (*)(const Int16Multiply&, int);
  static constexpr Tile tiles[] = {tile<M + 1, NB>...};
  tiles[count - 1](call, first);
}

// In parts as even as can be.
template <int NB>
void multiply_blocks(const Int16Multiply& call) {
  const int parts = (call.tiles + kRows - 1) / kRows;
  for (int part = 0; part < parts; ++part) {
    const int first = call.tiles * part / parts, end = call.tiles * (part + 1) / parts;
    rows_of<NB>(call, first, end - first, std::make_integer_sequence<int, kRows>());
  }
}

void multiply(const Int16Multiply& call) { call.blocks == 1 ? multiply_blocks<1>(call) : multiply_blocks<2>(call); }

FOVEA_INLINE F32 magnitude(F32 x) { return max(x, F32::zero() - x); }

float largest_value(const float* v, ptrdiff_t v_step, ptrdiff_t v_block, int rows, int blocks) {
  F32 largest = F32::zero();
  for (int f = 0; f < rows; ++f) {
    for (int block = 0; block < blocks; ++block)
      largest = max(largest, magnitude(F32::load(v + f * v_step + block * v_block)));
  }
  return reduce_max(largest);
}

// The 2-norm that no row's is beyond.
float norm_of_rows(const float* v, ptrdiff_t v_step, ptrdiff_t v_block, int rows, int blocks) {
  F32 largest = F32::zero(), poison = F32::zero();
  for (int f = 0; f < rows; ++f) {
    F32 squares = F32::zero();
    for (int block = 0; block < blocks; ++block) {
      const F32 x = F32::load(v + f * v_step + block * v_block);
      squares = fma(x, x, squares);
    }
    largest = max(largest, squares);
    poison = fma(squares, F32::zero(), poison);  // max() may lose a NaN
  }
  const float squares = reduce_add(largest + poison);
  if (int16_squares_hold(squares)) return sqrtf(squares);
  return int16_norm(squares, largest_value(v, v_step, v_block, rows, blocks), 16.f * float(blocks));
}

float round_tile(const float* v, ptrdiff_t v_step, ptrdiff_t v_block, int rows, int blocks, float* pairs,
                 ptrdiff_t pairs_step, ptrdiff_t pairs_unit) {
  const float norm = norm_of_rows(v, v_step, v_block, rows, blocks);
  const F32 inverse = F32::splat(int16_inverse(norm));
  for (int f = 0; f < rows; ++f, v += v_step, pairs += pairs_step) {
    const auto integers = [&](int block) { return round(F32::load(v + block * v_block) * inverse); };
    int block = 0;
    float* to = pairs;
    for (; block + 2 <= blocks; block += 2, to += pairs_unit)
      neighbours_of(integers(block), integers(block + 1)).store(to);
    if (block < blocks) neighbours_of(integers(block), I32::zero()).store(to);
  }
  return norm / kInt16Norm;
}

void extend(const float* rows, ptrdiff_t count, Int16Extent* extent) {
  F32 squares = F32::load(extent->squares), largest = F32::load(extent->largest);
  for (ptrdiff_t i = 0; i < count; ++i) {
    const F32 x = F32::load(rows + 16 * i);
    squares = fma(x, x, squares);
    largest = max(largest, magnitude(x));
  }
  squares.store(extent->squares);
  largest.store(extent->largest);
}

// The norms of the lanes.
FOVEA_INLINE F32 norms_of(F32 squares, F32 largest, ptrdiff_t count) {
  const F32 low = F32::splat(kInt16LeastSquares), high = F32::splat(kInt16MostSquares);
  const auto hold = (greater(squares, low) & greater(high, squares)) | equal(largest + squares, F32::zero());
  if (bits(hold) == 0xffff) return sqrt(squares);
  alignas(64) Int16Extent extent;
  squares.store(extent.squares), largest.store(extent.largest);
  for (int lane = 0; lane < 16; ++lane)
    extent.squares[lane] = int16_norm(extent.squares[lane], extent.largest[lane], float(count));
  return F32::load(extent.squares);
}

void round_lanes(const float* rows, ptrdiff_t count, float* pairs, float* scale) {
  F32 squares[2] = {F32::zero(), F32::zero()}, largest[2] = {F32::zero(), F32::zero()};
  const auto look = [&](ptrdiff_t i, int half) {
    const F32 x = F32::load(rows + 16 * i);
    squares[half] = fma(x, x, squares[half]);
    largest[half] = max(largest[half], magnitude(x));
  };
  ptrdiff_t i = 0;
  for (; i + 2 <= count; i += 2) look(i, 0), look(i + 1, 1);
  if (i < count) look(i, 0);
  const F32 norm = norms_of(squares[0] + squares[1], max(largest[0], largest[1]), count);
  (norm * F32::splat(1 / kInt16Norm)).store(scale);
  const F32 inverse = select(greater(norm, F32::zero()), F32::splat(kInt16Norm) / norm, F32::zero());
  const auto integers = [&](ptrdiff_t i) { return round(F32::load(rows + 16 * i) * inverse); };
  for (i = 0; i + 2 <= count; i += 2, pairs += 16) pairs_of(integers(i), integers(i + 1)).store(pairs);
  if (i < count) pairs_of(integers(i), I32::zero()).store(pairs);
}

void round_filters(const float* rows, const float* inverse, float* pairs) {
  const F32 scale = F32::load(inverse);
  UNROLL for (int q = 0; q < 16; ++q) {
    const float* const from = rows + 16 * int16_first(q);
    pairs_of(round(F32::load(from) * scale), round(F32::load(from + 16) * scale)).store(pairs + 16 * q);
  }
}

constexpr int kGradRows = 8;  // of channels: two times 8 are a block

// kGradRows channels by NB blocks of filters stay in registers while all tiles pass.
template <int NB>
void multiply_channels(const Int16GradMultiply& call, const float* v, const float* v_scale, float* product) {
  constexpr int U = kBrgemmUnroll;
  BrgemmSums<Int16Pairs, kGradRows, NB> sums;
  sums.clear();
  BrgemmPanel<NB> u(call.u, call.u_block);
  int q = 0;
  for (; q + U <= call.pairs; q += U, v += 16 * U, u.advance(U)) {
    UNROLL for (int step = 0; step < U; ++step)
      sums.add([&](int i) { return v + 16 * step + i; }, u.block, 16 * step);
  }
  for (; q < call.pairs; ++q, v += 16, u.advance(1)) sums.add([&](int i) { return v + i; }, u.block, 0);
  F32 filters[NB];
  UNROLL for (int j = 0; j < NB; ++j)
    filters[j] = F32::load(call.u_scale + 16 * j);
  UNROLL for (int i = 0; i < kGradRows; ++i) {
    const F32 scale = F32::splat(v_scale[i]);
    UNROLL for (int j = 0; j < NB; ++j) {
      float* const to = product + 16 * i + j * call.product_block;
      const F32 before = call.accumulate ? F32::load(to) : F32::zero();
      fma(sums.sum[i][j].to_float() * scale, filters[j], before).store(to);
    }
  }
}

template <int NB>
void multiply_gradient_blocks(const Int16GradMultiply& call) {
  for (int block = 0; block < call.channels; ++block) {
    for (int c = 0; c < 16; c += kGradRows) {
      multiply_channels<NB>(call, call.v + block * call.v_block + c, call.v_scale + 16 * block + c,
                            call.product + 256 * block + 16 * c);
    }
  }
}

void multiply_gradient(const Int16GradMultiply& call) {
  call.filters == 1 ? multiply_gradient_blocks<1>(call) : multiply_gradient_blocks<2>(call);
}

}  // namespace

extern constexpr Int16Kernels int16_avx512bf16 = {"int16_avx512vnni", round_tile,  extend,           round_filters,
                                                  multiply,           round_lanes, multiply_gradient};

}  // namespace fovea
