// float32 operands as bfloat16 planes, in the order in which the products of pairs walk them.
//
// A value x becomes one, two or three bfloat16, each the rest of the ones before it, rounded to nearest even:
//     x ≈ b0 + b1 + b2,   b0 = bf16(x), b1 = bf16(x - b0), b2 = bf16(x - b0 - b1)
// One keeps 8 bits of the significand, two 16, three all 24. What rounds beyond the largest bfloat16, Inf and NaN leave
// Inf or NaN in the planes, and with that in every sum that they reach: kernels/brgemm/brgemm.h says what is done about
// it.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "kernels/layout/layout.h"
#include "simd/bfloat16.h"

namespace fovea {

constexpr int kMaxPlanes = 3;
constexpr int kInterleavedMost = 4;
constexpr int64_t kPairUnit = 32;  // values that are packed together: 16 words, one cache line, one row of an AMX tile

// A word is a pair of bfloat16 and takes the place of a float. Plane p of what is written at `words` starts at
// words + p·plane. Reads and writes nothing but what the formulas name; any alignment.
struct Bf16Kernels {
  const char* isa;

  // words[16·i + q] = pair of channels (2q, 2q + 1) of pixel i: channels 0..15 from first[16·step·i], 16..31 from
  // second. A null `second` stands for zeros.
  void (*pixels)(const float* first, const float* second, ptrdiff_t step, ptrdiff_t count, int planes, float* words,
                 ptrdiff_t plane);

  // words[16·q + j] = pair of (rows[32·q + j], rows[32·q + 16 + j]): rows of 16 lanes, two by two, `count` pairs.
  void (*rows)(const float* rows, ptrdiff_t count, int planes, float* words, ptrdiff_t plane);

  // The halves of words + c·row, c < 16: position i holds channel c of pixel i, from pixels[16·step·i + c]. `row` in
  // words. Positions go in thirty-twos: those from `count` to the next multiple of 32 are written as zeros.
  void (*channels)(const float* pixels, ptrdiff_t step, ptrdiff_t count, int planes, float* words, ptrdiff_t row,
                   ptrdiff_t plane);

  // A square of a matrix, element (line i, depth q) at from[i·line + q·depth], one of the two steps being 1: pairs
  // along the depth, as words[16·i + q/2] (by_line: the left operand) or words[16·(q/2) + i] (the right one). All 16
  // lines and 32 depths are written, those from `lines` and `depths` on as zeros.
  void (*square)(const float* from, ptrdiff_t line, ptrdiff_t depth, int lines, int depths, bool by_line, int planes,
                 float* words, ptrdiff_t plane);

  // A panel of weights, [tap][plane][16 words][16]: word q of lane i is the pair of depths (2q, 2q + 1) at tap t, from
  // from[i·lane + 2q·depth + taps[t]] and one `depth` on. `taps` are some of the `all` that lie side by side, in any
  // order. All 16 lanes and 32 depths are written, those from `lanes` and `depths` on as zeros.
  void (*weights)(const float* from, ptrdiff_t lane, ptrdiff_t depth, int lanes, int depths, const int64_t* taps,
                  ptrdiff_t count, ptrdiff_t all, int planes, float* words);

  // The halves of `words`: position lines·i + l is value i of line l, from[line·l + i], l < lines <= kInterleavedMost.
  // Values go in sixteens: those from `count` to the next multiple of 16 are written as zeros.
  void (*interleave)(const float* from, ptrdiff_t line, int lines, ptrdiff_t count, int planes, float* words,
                     ptrdiff_t plane);
  // Of values that lie in memory as bfloat16: pixels(), rows() and channels() of one plane, which then only move bits.
  void (*stored_pixels)(const Bfloat16* first, const Bfloat16* second, ptrdiff_t step, ptrdiff_t count, float* words);
  void (*stored_rows)(const Bfloat16* rows, ptrdiff_t count, float* words);
  void (*stored_channels)(const Bfloat16* pixels, ptrdiff_t count, float* words, ptrdiff_t row);
  // join_taps() of the layout, of pairs of outputs: words[(i·taps + t)·channels + c] = pair of outputs (2i, 2i + 1),
  // the latter `step` values on. May write up to 16 words behind the last.
  void (*join_taps)(const Bfloat16* from, const JoinedRow& row, float* words);
};

// Null where the CPU, or the cap, has no products of bfloat16 pairs.
const Bf16Kernels* bf16_kernels();

extern const Bf16Kernels bf16_avx512bf16;

}  // namespace fovea
