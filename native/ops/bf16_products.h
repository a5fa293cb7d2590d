// Products of float32 values as products of bfloat16 pairs: what each precision takes, and when it pays.
#pragma once
#include <memory>
#include <utility>
#include <vector>

#include "ops/conv_geometry.h"

namespace fovea {

// Planes of bfloat16 that keep a precision's bound: 1 for kMedium (5e-3), 2 for kHigh (1e-5), 3 for kHighest.
int bf16_planes(Precision precision);

// Which planes of x = Σ x_i and w = Σ w_j are multiplied: those with i + j below the number of planes. The others are
// of the size of what the planes leave out. The largest come last, for the sums to round less often.
std::vector<std::pair<int, int>> plane_products(int64_t planes);

// Multiply-adds per second in that precision, as a multiple of float32's; 0 where the CPU has no bfloat16 products.
double bf16_speed(Precision precision);

// Whether they are faster than the direct sum, and than Winograd's algorithm, by the figures above.
inline bool bf16_pays(Precision precision) { return bf16_speed(precision) > 1.2; }
inline bool bf16_beats_winograd(Precision precision) { return bf16_speed(precision) > 3; }

// The direct sum with so many planes (0: in float32) of one of the convolution's operators.
using MakeStream = Status (*)(const OpSpec& spec, const ConvGeometry& g, int planes,
                              std::unique_ptr<Operation>* operation);
// `make` with the planes of the precision, and behind it `make` in float32, for values that bfloat16 cannot hold.
Status make_guarded_bf16(MakeStream make, const OpSpec& spec, const ConvGeometry& g,
                         std::unique_ptr<Operation>* operation);

}  // namespace fovea
