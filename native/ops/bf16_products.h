// Products of float32 values as products of bfloat16 pairs: what each precision takes, and when it pays.
#pragma once
#include <memory>
#include <utility>
#include <vector>

#include "cpu/features.h"
#include "ops/guarded.h"

namespace fovea {

// Planes of bfloat16 that keep a precision's bound: 1 for kMedium (5e-3), 2 for kHigh (1e-5), 3 for kHighest.
int bf16_planes(Precision precision);

// Which planes of x = Σ x_i and w = Σ w_j are multiplied: those with i + j below the number of planes. The others are
// of the size of what the planes leave out. Neighbours share an operand, which tiles of AMX then need not load again;
// of three planes, whose sums round as float32's do, the largest come last, so that they round less often.
std::vector<std::pair<int, int>> plane_products(int64_t planes);

// Multiply-adds per second with so many planes, as a multiple of float32's; 0 where the CPU has no bfloat16 products.
double bf16_speed(int planes);

// Whether they are faster than the direct sum, and than Winograd's algorithm, by the figures above.
inline bool bf16_pays(Precision precision) { return bf16_speed(bf16_planes(precision)) > 1.2; }
// Whether the direct sum in 'medium' takes as long for a product as Winograd's algorithm with 16-bit integers: in
// bfloat16, or with AVX2, where products of integers take as long as those of float32. Else twice as long.
inline bool direct_keeps_up_with_int16() { return bf16_pays(Precision::kMedium) || cpu_features().isa < Isa::kAvx512; }
inline bool bf16_beats_winograd(Precision precision) { return bf16_speed(bf16_planes(precision)) > 3; }

// Two rows of a list of algorithms from one function, make(spec, problem, planes, operation): in float32 (planes 0),
// and with the planes of the precision, behind it float32 for values that bfloat16 cannot hold.
template <auto make, class Problem>
Status in_float32(const OpSpec& spec, const Problem& problem, std::unique_ptr<Operation>* operation) {
  return make(spec, problem, 0, operation);
}
template <auto make, class Problem>
Status in_bf16(const OpSpec& spec, const Problem& problem, std::unique_ptr<Operation>* operation) {
  std::unique_ptr<Operation> fast, plain;
  FOVEA_RETURN_IF_ERROR(make(spec, problem, bf16_planes(spec.precision), &fast));
  FOVEA_RETURN_IF_ERROR(make(plain_spec(spec), problem, 0, &plain));
  *operation = std::make_unique<Guarded>(std::move(fast), std::move(plain));
  return {};
}

}  // namespace fovea
