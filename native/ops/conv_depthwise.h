// Depthwise convolution, one filter for each channel, convolution in groups of 2, 4 or 8 channels, and their gradients:
// whole blocks of channels, read where they lie. Taps that would read zero padding are left out; the other padding
// modes pack a band of rows first, as the other convolutions do.
#pragma once
#include "ops/conv_stages.h"

namespace fovea {

// Groups of as many output as input channels, 1, 2, 4 or 8 of them.
bool supports_depthwise(const OpSpec& spec, const ConvGeometry& geometry);

Status make_depthwise_forward(const OpSpec& spec, const ConvGeometry& geometry, std::unique_ptr<Operation>* operation);
// With zero padding only.
Status make_depthwise_grad_input(const OpSpec& spec, const ConvGeometry& geometry,
                                 std::unique_ptr<Operation>* operation);
Status make_depthwise_grad_weight(const OpSpec& spec, const ConvGeometry& geometry,
                                  std::unique_ptr<Operation>* operation);

}  // namespace fovea
