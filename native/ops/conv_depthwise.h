// Depthwise convolution, one filter for each channel, and its gradients: whole blocks of channels, packed as for the
// other convolutions. Bound by memory, so a band of rows is packed and used while it is in L1 or L2.
#pragma once
#include "ops/conv_stages.h"

namespace fovea {

// As many output as input channels, each of them a group.
bool supports_depthwise(const OpSpec& spec, const ConvGeometry& geometry);

Status make_depthwise_forward(const OpSpec& spec, const ConvGeometry& geometry, std::unique_ptr<Operation>* operation);
// With zero padding only.
Status make_depthwise_grad_input(const OpSpec& spec, const ConvGeometry& geometry,
                                 std::unique_ptr<Operation>* operation);
Status make_depthwise_grad_weight(const OpSpec& spec, const ConvGeometry& geometry,
                                  std::unique_ptr<Operation>* operation);

}  // namespace fovea
