#include "ops/tile_choice.h"

#include <algorithm>

#include "cpu/features.h"

namespace fovea {

namespace {

// Two multiply-adds a cycle, each four cycles long; loads: 1.1 of 64 bytes a cycle (measured on Ice Lake), 2 of the
// shorter ones. Entering, adding up and storing a tile costs some 50 cycles and 3 for each of its vectors.
double tile_cycles(const BrgemmKernels& kernels, int64_t m, int64_t nb, int64_t steps) {
  const double vectors = static_cast<double>(nb * 16 / kernels.lanes), rows = static_cast<double>(m);
  const double loads = (rows + vectors) * (kernels.lanes == 16 ? 0.91 : 0.5);
  const double step = std::max({rows * vectors / 2, loads, 4.0});
  return step * static_cast<double>(steps) + 50 + 3 * rows * vectors;
}

double run_cycles(const BrgemmKernels& kernels, int64_t length, int64_t nb, int64_t steps) {
  const int64_t tiles = (length + kernels.rows[nb - 1] - 1) / kernels.rows[nb - 1];
  const int64_t low = length / tiles, high = length % tiles;  // `high` tiles are one row higher
  return static_cast<double>(high) * tile_cycles(kernels, low + 1, nb, steps) +
         static_cast<double>(tiles - high) * tile_cycles(kernels, low, nb, steps);
}

}  // namespace

int64_t group_blocks(int64_t blocks, int64_t nb) {
  const int64_t groups = (blocks + nb - 1) / nb;
  return (blocks + groups - 1) / groups;
}

TileChoice choose_tiles(const BrgemmKernels& kernels, int64_t length, int64_t blocks, int64_t steps) {
  TileChoice best;
  for (int nb = 1; nb <= kernels.blocks && nb <= blocks; ++nb) {
    if (group_blocks(blocks, nb) != nb) continue;
    const double rest = blocks % nb == 0 ? 0 : run_cycles(kernels, length, blocks % nb, steps);
    const double cycles = static_cast<double>(blocks / nb) * run_cycles(kernels, length, nb, steps) + rest;
    if (best.cycles == 0 || cycles < best.cycles) best = {nb, cycles};
  }
  return best;
}

int64_t panel_bytes() { return static_cast<int64_t>(cpu_features().l1d_bytes) * 2; }

}  // namespace fovea
