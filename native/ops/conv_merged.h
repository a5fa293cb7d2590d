// Grouped convolutions whose channels do not fill blocks, as convolutions of fewer, larger groups that do: several
// groups become one whose weight has zeros between them. Nothing is moved, which pays where products are cheap.
//
//   two groups of 24          one of 48
//   w0 [24 × 24]              ┌ w0  0  ┐
//   w1 [24 × 24]              └ 0   w1 ┘    three blocks of 16 channels in, three out
//
// Blocks of filters meet the channels of their own groups (WeightView::depths): of the nine products of blocks above
// six are left, of half of which a half is with zeros. Winograd's algorithm multiplies all nine. Zeros times Inf or NaN
// of another group's channel are NaN, so behind it stands the sum of channels that are moved.
#pragma once
#include <memory>
#include <utility>

#include "ops/bf16_products.h"
#include "ops/conv_geometry.h"
#include "ops/guarded.h"

namespace fovea {

// How many groups make one; 0: none that fills blocks, or that fills them with more than a few groups.
int64_t merged_groups(const ConvGeometry& g);
// The geometry of that convolution.
ConvGeometry merged_geometry(const ConvGeometry& g);

// From `conv`, which computes the merged geometry: with the weight (input 1) made for it before, and with the gradient
// of the weight (output 0) taken out of its own.
std::unique_ptr<Operation> with_merged_weight(const OpSpec& spec, const ConvGeometry& g,
                                              std::unique_ptr<Operation> conv);
std::unique_ptr<Operation> with_merged_gradient(const OpSpec& spec, const ConvGeometry& g,
                                                std::unique_ptr<Operation> conv);

// A row of a list of algorithms from make(spec, geometry, planes, operation), and plain(spec, geometry, operation) for
// values that zeros do not leave alone.
template <auto make, auto merge, auto plain, bool in_bf16>
Status make_merged(const OpSpec& spec, const ConvGeometry& g, std::unique_ptr<Operation>* operation) {
  std::unique_ptr<Operation> fast, exact;
  FOVEA_RETURN_IF_ERROR(make(spec, merged_geometry(g), in_bf16 ? bf16_planes(spec.precision) : 0, &fast));
  FOVEA_RETURN_IF_ERROR(plain(plain_spec(spec), g, &exact));
  *operation = std::make_unique<Guarded>(merge(spec, g, std::move(fast)), std::move(exact));
  return {};
}

}  // namespace fovea
