// Winograd's algorithm whose products are of 16-bit integers (kernels/int16/int16.h), for 'medium': twice as many in a
// second as of float32. A tile has one scale and each filter one for each frequency, from the largest 2-norm over the
// channels. Relative error in the 2-norm, normally distributed data, 5e-3 allowed:
//
//     C                16       64       256      512
//     F(4×4)           0.5e-3   0.7e-3   1.2e-3   1.7e-3
//     F(6×6)                    4.1e-3            9.3e-3
//
//     with bfloat16 instead: direct 2.4e-3, F(2×2) 3.9e-3, F(3×3) 8.4e-3, F(4×4) 11e-3
//
//   U[filter block][f][unit of 32 channels][16 pairs][16]    before the tasks
//   staged[f][channel block][tile][16]                       float32, a few tiles that stay in L1
//   V[f][unit][tile][16 pairs]                               for the tiles of one task
//   M[f][2 filter blocks][tile][16]                          float32, one round of filters after another
#pragma once
#include <memory>

#include "ops/conv_winograd_problem.h"

namespace fovea {

// Whether the precision allows it, and the CPU multiplies such pairs. Where bfloat16 has tile registers the model
// prefers those, and this is chosen only when it was measured to be faster.
bool winograd_int16_possible(const OpSpec& spec);

// `direct` as for make_winograd().
Status make_winograd_int16(const WinogradProblem& problem, int tile, int threads, std::unique_ptr<Operation> direct,
                           std::unique_ptr<Operation>* operation);

}  // namespace fovea
