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
// the one with tiles of `wanted` blocks, where there are such tiles and so many blocks. alike: of many such runs, whose
// last halves of a tile are computed two by two.
TileChoice choose_tiles(const BrgemmKernels& kernels, int64_t length, int64_t blocks, int64_t steps, int wanted = 0,
                        bool alike = false);

// Of that cut with tiles of nb blocks.
double tiles_cycles(const BrgemmKernels& kernels, int64_t length, int64_t blocks, int64_t nb, int64_t steps,
                    bool alike = false);

// Where tile `tile` begins of those, of at most `rows` rows, that a run of `length` is cut into: of nearly equal
// height, but for row tiles, which take as long for one row as for all.
int64_t tile_begin(const BrgemmKernels& kernels, int64_t rows, int64_t length, int64_t tile);

// Rows at the end of a run that fill one row tile of two or less, and can share a tile with those of another run
// (BrgemmRows::kTwoRuns). 0: there are none.
int64_t last_half(const BrgemmKernels& kernels, int64_t length, int64_t nb);

// `blocks` in groups of at most nb, as even as can be: the size of a group.
int64_t group_blocks(int64_t blocks, int64_t nb);

// Bytes of B that a tile is multiplied with at once.
// Vectors: twice L1. A tile takes a vector of B for every multiply-add with its rows, which L2 delivers in time, and
// the fewer passes over the sums win: up to 4 % over six tenths of L1, Zen 4. Tile registers: a quarter of L2. Four
// products of 16 cycles take four KiB, and take 73 to 79 cycles with B from L1 or from L2 alike (Emerald Rapids).
int64_t panel_bytes(const BrgemmKernels& kernels);

}  // namespace fovea
