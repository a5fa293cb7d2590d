// Products of 16-bit integers that stand for floats by a common scale: what bfloat16 pairs cost, with twice the digits
// where the numbers of a sum are of one size. Winograd's transforms see to that; what they multiply could not be
// rounded to bfloat16 (ops/conv_winograd_int16.h).
//
// A sum Σ a·b is exact as long as it fits 32 bits, and with |Σ a·b| ≤ ‖a‖·‖b‖ it does when no row's 2-norm is larger
// than kInt16Norm, 2^15 less what rounding may add. That also keeps each element within 16 bits.
//
// A word is a pair along the reduction and takes the place of a float.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "kernels/asked.h"
#include "simd/macros.h"

namespace fovea {

constexpr float kInt16Norm = 32700;
constexpr int kInt16Unit = 32;   // channels whose pairs are 16 words, one line of the cache
constexpr int kInt16Blocks = 2;  // of filters, the most that a product takes at once

// The channels of the pair in word q: int16_first(q) of their unit and the next one.
FOVEA_INLINE constexpr int int16_first(int q) { return (q & 2 ? 16 : 0) + q / 4 * 4 + q % 2 * 2; }

// One frequency: product[j][t][16] = v_scale[t] · u_scale[j] · Σ_unit Σ_q v[unit][t][q] · u[j][unit][q], q < 16 words.
struct Int16Multiply {
  const float* v;  // [unit][tile][16 words]
  const float* u;  // [unit][16 words][16 filters], for each block of filters
  const float *v_scale, *u_scale;
  float* product;
  ptrdiff_t v_unit, u_block, u_scale_block, product_block;  // words, or floats, from one to the next
  int units, tiles, blocks;                                 // 1 <= blocks <= kInt16Blocks
  AskedMemory ahead;                                        // of the caller, which is asked for meanwhile
};

// One frequency of the gradient of the weight: product[j][c][16] (+)= v_scale[c] · u_scale[j][16] · Σ_q v[q][c] ·
// u[j][q][16], with pairs of tiles for words.
struct Int16GradMultiply {
  const float *v, *u;              // [block of 16 channels or filters][pair][16 words]
  const float *v_scale, *u_scale;  // 16 for each block
  float* product;
  ptrdiff_t v_block, u_block, product_block;
  int pairs, channels, filters;  // blocks of channels; of filters, 1 <= filters <= kInt16Blocks
  bool accumulate;               // otherwise the sum is stored
  AskedMemory ahead;             // of the caller, which is asked for meanwhile
};

// The sum of squares and the largest magnitude of each lane. Not finite: so are the squares.
struct Int16Extent {
  float squares[16], largest[16];
};

struct Int16Kernels {
  const char* name;

  // The pairs of tiles that are 16 floats, or words, apart: of row f of one, `blocks` pixels of 16 floats from
  // v + f·v_step on, v_block apart, the words of unit i at pairs + f·pairs_step + i·pairs_unit. All rows of a tile take
  // one scale: what to multiply by in order to have the floats back, NaN if there is none (int16_norm). Not a structure
  // like the calls below: the compiler would read its fields anew after each store (0.975 of the speed, Zen 5).
  void (*round_tiles)(int tiles, const float* v, ptrdiff_t v_step, ptrdiff_t v_block, int rows, int blocks,
                      float* pairs, ptrdiff_t pairs_step, ptrdiff_t pairs_unit, float* scales);

  // Adds `count` rows of 16 floats to what is known of their lanes.
  void (*extend)(const float* rows, ptrdiff_t count, Int16Extent* extent);
  // The pairs of a unit of 16 filters, its 32 rows of 16 floats times inverse[lane].
  void (*round_filters)(const float* rows, const float* inverse, float* pairs);

  void (*multiply)(const Int16Multiply& call);

  // The pairs of neighbours among `count` rows of 16 floats, each lane with a scale of its own: pairs[16·i + lane], the
  // last one with a zero if the count is odd.
  void (*round_lanes)(const float* rows, ptrdiff_t count, float* pairs, float* scale);
  void (*multiply_gradient)(const Int16GradMultiply& call);
};

// The 2-norm of `count` values, or a bound on it where their squares leave what floats hold. Values below 1e-33 count
// as zero, since the inverse of their scale would be no float. NaN where a value is not finite, or beyond 1e30; of a
// tile already where squares overflow, at 1e19.
float int16_norm(float squares, float largest, float count);
constexpr float kInt16LeastSquares = 1e-30f, kInt16MostSquares = 1e30f;
FOVEA_INLINE bool int16_squares_hold(float squares) {
  return squares > kInt16LeastSquares && squares < kInt16MostSquares;
}
FOVEA_INLINE float int16_inverse(float norm) { return norm > 0 ? kInt16Norm / norm : 0; }

// Null where the CPU, or the cap, has no products of such pairs that are faster than float32's: with AVX-512 and
// without VNNI, 256 bits of integers are not.
const Int16Kernels* int16_kernels();

extern const Int16Kernels int16_avx512vnni, int16_avx2;

}  // namespace fovea
