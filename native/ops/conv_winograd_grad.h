// The weight gradient of 3×3 convolutions of stride 1 and 2 by Winograd's algorithm, transposed:
//
//     dw = Gᵀ [ Σ_tiles (Bᵀ d B) ∘ (A e Aᵀ) ] G        d: the n×n input pixels of a tile, e: its m×m pixels of dy
//
//   V[f][channel block][tile][16]     transform_input
//   U[f][filter block][tile][16]      transform_gradient
//   M[f][filter block][channel][16]   multiply: a matrix product over the tiles for each frequency f
//
// M is n²/9 times as large as dw. A task therefore takes a piece of it, some channels × some filters, that fits a
// core's L2 together with V and U of a chunk of tiles; other pieces transform the same pixels again. Where pieces are
// too few to go round, the tiles are cut into parts as well; what these make of dw is added up in order.
//
// In 'medium' V and U may be pairs of 16-bit integers (kernels/int16/int16.h): words [pair of tiles][16], with a scale
// for each frequency and channel, or filter, of a chunk. They are transformed as floats, 16 channels at a time.
#pragma once
#include <memory>
#include <string>

#include "ops/conv_geometry.h"

namespace fovea {

struct WinogradGradWay {
  int tile;
  bool int16;   // products of 16-bit integers: ops/conv_winograd_int16.h says when they are possible
  DType x, dy;  // in memory
  bool bias;
};

// Inputs x and dy, blocked; outputs dw and, with `bias`, db. `direct` computes the same; it runs when a value is not
// finite.
Status make_winograd_grad(const ConvGeometry& g, const WinogradGradWay& way, int threads,
                          std::unique_ptr<Operation> direct, std::unique_ptr<Operation>* operation);

}  // namespace fovea
