#include <math.h>

#include "kernels/brgemm/brgemm.inl.h"
#include "kernels/int16/int16.h"
#include "simd/vec_avx512vnni.h"

namespace fovea {
namespace {

using namespace simd::avx512vnni;

constexpr int kRows = 14, kBlocks = 2;  // as brgemm's: 14·2 sums + 2 + 1 of 32 registers

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
      (sums.sum[i][j].to_float() * (scale * filters[j])).store(product + 16 * i + j * call.product_block);
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

void round_filters(const float* rows, const float* inverse, float* pairs) {
  const F32 scale = F32::load(inverse);
  UNROLL for (int q = 0; q < 16; ++q) {
    const float* const from = rows + 16 * int16_first(q);
    pairs_of(round(F32::load(from) * scale), round(F32::load(from + 16) * scale)).store(pairs + 16 * q);
  }
}

}  // namespace

extern constexpr Int16Kernels int16_avx512bf16 = {"int16_avx512vnni", kRows,   kBlocks, round_tile, extend,
                                                  round_filters,      multiply};

}  // namespace fovea
