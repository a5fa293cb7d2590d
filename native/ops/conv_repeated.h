// Convolution in groups of 1, 2, 4 or 8 channels with several times as many filters (of one channel Keras's depth
// multiplier), as the one in groups of as many filters as channels: the channels of a group are repeated for its other
// filters, and their gradient is the sum of those of the repetitions.
//
//   groups of 2 channels, 4 filters     x a b │ c d  ->  a b a b │ c d c d     dx of a = dx'(0) + dx'(2)
#pragma once
#include "ops/conv_depthwise.h"

namespace fovea {

// Up to sixteen filters in a group, of a blocked image.
bool supports_repeated(const OpSpec& spec, const ConvGeometry& geometry);

Status make_repeated_forward(const OpSpec& spec, const ConvGeometry& geometry, std::unique_ptr<Operation>* operation);
// With zero padding only.
Status make_repeated_grad_input(const OpSpec& spec, const ConvGeometry& geometry,
                                std::unique_ptr<Operation>* operation);
Status make_repeated_grad_weight(const OpSpec& spec, const ConvGeometry& geometry,
                                 std::unique_ptr<Operation>* operation);

}  // namespace fovea
