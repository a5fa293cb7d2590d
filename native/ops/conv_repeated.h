// Depthwise convolution with several filters for each channel (PyTorch: groups = C and K a multiple of it; Keras: the
// depth multiplier), as the one with one filter for each of K channels: those of x repeated, one for each filter, and
// the gradient of each channel the sum of those of its repetitions.
#pragma once
#include "ops/conv_depthwise.h"

namespace fovea {

// Two to sixteen filters for each channel of a blocked image.
bool supports_repeated(const OpSpec& spec, const ConvGeometry& geometry);

Status make_repeated_forward(const OpSpec& spec, const ConvGeometry& geometry, std::unique_ptr<Operation>* operation);
// With zero padding only.
Status make_repeated_grad_input(const OpSpec& spec, const ConvGeometry& geometry,
                                std::unique_ptr<Operation>* operation);
Status make_repeated_grad_weight(const OpSpec& spec, const ConvGeometry& geometry,
                                 std::unique_ptr<Operation>* operation);

}  // namespace fovea
