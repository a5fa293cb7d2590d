// Convolutions of an image's few planes (stems) as products of bfloat16 pairs, forward and weight gradient. x is plain,
// [n][c][h][w].
#pragma once
#include <memory>

#include "ops/conv_geometry.h"

namespace fovea {

bool supports_stem(const ConvGeometry& g);
// Whether the model prefers the forward convolution to float32's: a tile of AMX is 16 words deep, used or not.
bool stem_wins(const OpSpec& spec, const ConvGeometry& g);
// kMemory when no workspace could hold a row of x or the weights.
Status check_stem_size(const ConvGeometry& g);
Status make_stem(const OpSpec& spec, const ConvGeometry& g, int planes, std::unique_ptr<Operation>* operation);
Status make_stem_grad_weight(const OpSpec& spec, const ConvGeometry& g, int planes,
                             std::unique_ptr<Operation>* operation);

}  // namespace fovea
