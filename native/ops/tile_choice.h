// Which of the brgemm tiles a plan uses, by a model of what a core can do in a cycle.
#pragma once
#include <cstdint>

#include "kernels/brgemm/brgemm.h"

namespace fovea {

struct TileChoice {
  int nb = 1;         // blocks of 16 columns that a tile takes at once
  double cycles = 0;  // for all tiles, one pass of `steps`; unknown for what was wanted
};

// The best way to cut runs of `length` rows (each into tiles of nearly equal height) and `blocks` blocks of columns, or
// the one with tiles of `wanted` blocks, where there are such tiles and so many blocks.
TileChoice choose_tiles(const BrgemmKernels& kernels, int64_t length, int64_t blocks, int64_t steps, int wanted = 0);

// Of that cut with tiles of nb blocks.
double tiles_cycles(const BrgemmKernels& kernels, int64_t length, int64_t blocks, int64_t nb, int64_t steps);

// `blocks` in groups of at most nb, as even as can be: the size of a group.
int64_t group_blocks(int64_t blocks, int64_t nb);

// Bytes of B that a tile is multiplied with at once.
// Vectors: twice L1. A tile takes a vector of B for every multiply-add with its rows, which L2 delivers in time, and
// the fewer passes over the sums win: up to 4 % over six tenths of L1, Zen 4. Tile registers: three quarters of L1.
// Four products of 16 cycles take four KiB, two of A and two of B. From L2, at some 48 bytes a cycle, all of them would
// take 85 cycles; with B in L1, A's two take 43 of the 64.
int64_t panel_bytes(const BrgemmKernels& kernels);

}  // namespace fovea
