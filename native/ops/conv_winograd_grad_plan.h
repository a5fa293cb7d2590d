// How the weight gradient by Winograd's algorithm (conv_winograd_grad.h) is cut into pieces, and whether it pays.
#pragma once
#include "ops/conv_geometry.h"

namespace fovea {

constexpr int64_t kMostGradTiles = 128;  // of one chunk

struct WinogradGradBlocking {
  int64_t channels = 1, filters = 1, tiles = 1;  // blocks of channels and filters; tiles of one chunk
  double cycles = 0;                             // for 16×16 channels and one tile, at one frequency
};

// The blocks of channels and filters and the tiles that fit L2 together and cost least, of those that there are.
WinogradGradBlocking winograd_grad_blocking(int64_t channels, int64_t filters, int64_t tiles, int64_t frequencies,
                                            bool int16);

// The better size of tiles of dy, 4 or 2, and whether they are faster than the direct sum.
int winograd_grad_tile(const ConvGeometry& g);
bool winograd_grad_pays(const ConvGeometry& g);
// Than the direct sum of bfloat16 pairs; and with products of pairs of its own, of 16-bit integers.
bool winograd_grad_beats_pairs(const ConvGeometry& g);
bool winograd_grad_int16_pays(const ConvGeometry& g);

}  // namespace fovea
