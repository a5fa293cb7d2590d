// Input gradients of a convolution into at most eight channels, as of a network's first layer: 16 lanes of channels
// would be mostly padding, so lanes are pixels.
//
// A band of dy is transposed into planes, one for each filter, with zeros round them. A tap of the filter is then an
// offset into the planes, and the rows of a plane are one stream of pixels: what is computed for the padding between
// two rows is thrown away.
#pragma once
#include "ops/conv_stages.h"

namespace fovea {

// At most eight channels, one group, zero padding.
bool supports_narrow(const OpSpec& spec, const ConvGeometry& geometry);

// `exact` computes the same where a weight is not finite: times the zeros of the padding it would be NaN.
Status make_narrow_grad_input(const OpSpec& spec, const ConvGeometry& geometry, std::unique_ptr<Operation> exact,
                              std::unique_ptr<Operation>* operation);

}  // namespace fovea
