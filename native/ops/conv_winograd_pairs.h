// Winograd's algorithm whose products are of bfloat16 pairs: F(2×2, 3×3) only, since rounding what larger tiles
// multiply is beyond the bound of 'medium'. Relative error in the 2-norm, normally distributed data, 5e-3 allowed:
//
//     direct 2.4e-3    F(2×2) 3.9e-3    F(3×3) 8.4e-3 with the best points found    F(4×4) 11e-3
//
//   V[f][unit of 32 channels][tile][16 pairs]       for the tiles of one task: the pixels of brgemm's tiles
//   U[filter block][f][unit][16 pairs][16]          before the tasks
//   M[f][2 filter blocks][tile][16]                 float32, one round of filters after another
//
// A product of pairs does two multiply-adds, so that this takes 2.25 · 2 = 4.5 times less than float32's direct sum,
// and F(4×4) in float32 4 times: it wins where images are no multiples of four pixels, and little elsewhere.
#pragma once
#include <memory>

#include "ops/conv_winograd.h"

namespace fovea {

// Whether it keeps the precision's bound, and the CPU multiplies pairs, but by no tile registers, which are faster
// without.
bool winograd_pairs_possible(const OpSpec& spec, const WinogradProblem& problem);

// `direct` as for make_winograd().
Status make_winograd_pairs(const WinogradProblem& problem, int threads, std::unique_ptr<Operation> direct,
                           std::unique_ptr<Operation>* operation);

}  // namespace fovea
