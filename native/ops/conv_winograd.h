// 3×3 convolutions of stride 1 and 2, and 5×5 ones of stride 1, by Winograd's minimal filtering:
// kernels/winograd/winograd.h has the formula and what it costs in accuracy.
//
//   V[f][channel block][tile][16]        transform_input, for the tiles of one task
//   U[f][filter group][channel][16·nb]   transform_weight, nb blocks to a group
//   M[f][filter block][tile][16]         multiply_tiles, for one task
//
// for each group of channels. The operand that is used most often is transformed once, before the tasks; the other one
// within each task.
#pragma once
#include <memory>

#include "ops/conv_winograd_problem.h"

namespace fovea {

// `direct` computes the same; it runs when a value is not finite (Inf, NaN or overflow, which tiles spread).
Status make_winograd(const WinogradProblem& problem, int tile, int threads, std::unique_ptr<Operation> direct,
                     std::unique_ptr<Operation>* operation);

}  // namespace fovea
