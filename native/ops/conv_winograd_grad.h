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
#pragma once
#include <memory>
#include <string>

#include "ops/conv_geometry.h"

namespace fovea {

// The better size of tiles of dy, 4 or 2, and whether they are faster than the direct sum.
int winograd_grad_tile(const ConvGeometry& g);
bool winograd_grad_pays(const ConvGeometry& g);

struct WinogradGradTypes {  // in memory
  DType x, dy;
};

// Inputs x and dy, blocked; outputs dw and, with `bias`, db. `direct` computes the same; it runs when a value is not
// finite.
Status make_winograd_grad(const ConvGeometry& g, int tile, const WinogradGradTypes& types, bool bias, int threads,
                          std::unique_ptr<Operation> direct, std::unique_ptr<Operation>* operation);

}  // namespace fovea
