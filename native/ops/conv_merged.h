// Grouped convolutions whose channels do not fill blocks, as convolutions of fewer, larger groups that do: several
// groups become one whose weight has zeros between them. Nothing is moved, which pays where products are cheap.
//
//   two groups of 24          one of 48
//   w0 [24 × 24]              ┌ w0  0  ┐
//   w1 [24 × 24]              └ 0   w1 ┘    three blocks of 16 channels in, three out
//
// Zeros times Inf or NaN of another group's channel are NaN: for Guarded ways only.
#pragma once
#include <memory>

#include "ops/conv_geometry.h"

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

// A function for in_bf16() (ops/bf16_products.h) from one that makes a convolution in float32 or in planes.
template <auto make, auto merge>
Status make_merged(const OpSpec& spec, const ConvGeometry& g, int planes, std::unique_ptr<Operation>* operation) {
  if (planes == 0) return make(spec, g, planes, operation);
  FOVEA_RETURN_IF_ERROR(make(spec, merged_geometry(g), planes, operation));
  *operation = merge(spec, g, std::move(*operation));
  return {};
}

}  // namespace fovea
