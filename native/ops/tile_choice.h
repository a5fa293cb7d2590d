// Which of the brgemm tiles a plan uses, by a model of what a core can do in a cycle.
#pragma once
#include <cstdint>

#include "kernels/brgemm/brgemm.h"

namespace fovea {

struct TileChoice {
  int nb = 1;         // blocks of 16 columns that a tile takes at once
  double cycles = 0;  // for all tiles, one pass of `steps`
};

// The best way to cut runs of `length` rows (each into tiles of nearly equal height) and `blocks` blocks of columns.
TileChoice choose_tiles(const BrgemmKernels& kernels, int64_t length, int64_t blocks, int64_t steps);

// `blocks` in groups of at most nb, as even as can be: the size of a group.
int64_t group_blocks(int64_t blocks, int64_t nb);

// Bytes of B that stay in L1 while rows of A and sums pass by: six tenths of it.
int64_t panel_bytes();

}  // namespace fovea
