#include "ops/tile_choice.h"

#include <algorithm>

#include "cpu/features.h"
#include "runtime/operation.h"

namespace fovea {

namespace {

// Two multiply-adds a cycle, each four cycles long, or six of pairs; loads: 1.1 of 64 bytes a cycle (measured on Ice
// Lake), 2 of the shorter ones. Where vectors are worked on in halves, one multiply-add, one long load or two
// broadcasts. Entering, adding up and storing a tile costs some 50 cycles and 3 for each of its vectors, once for each
// panel that fits L1.
double tile_cycles(const BrgemmKernels& kernels, int64_t m, int64_t nb, int64_t steps) {
  const double vectors = static_cast<double>(nb * 16 / kernels.lanes), rows = static_cast<double>(m);
  const double passes =
      std::max(1.0, static_cast<double>(steps * nb * kBlock * 4) / static_cast<double>(panel_bytes(kernels)));
  if (kernels.tile_rows > 1) {
    // A tile instruction takes 16 cycles for 16 words of depth, its sum 52, a tile's load 8 of which a third is seen
    // (75 cycles for four of each), storing one some 40 and its rows 16 more.
    const double tiles = static_cast<double>((m + kernels.tile_rows - 1) / kernels.tile_rows);
    return std::max(tiles * vectors + (tiles + vectors) / 3, 3.25) * static_cast<double>(steps) +
           passes * (60 + 60 * tiles * vectors);
  }
  const bool wide = kernels.lanes == 16, halved = wide && cpu_features().halved_512;
  const double loads = halved ? rows / 2 + vectors : (rows + vectors) * (wide ? 0.91 : 0.5);
  const double latency = &kernels == brgemm_bf16_kernels() ? 6 : 4;
  const double step = std::max({rows * vectors / (halved ? 1 : 2), loads, latency});
  return step * static_cast<double>(steps) + passes * (50 + 3 * rows * vectors);
}

double run_cycles(const BrgemmKernels& kernels, int64_t length, int64_t nb, int64_t steps, bool alike) {
  if (const int64_t half = alike ? last_half(kernels, length, nb) : 0; half > 0) {
    const int64_t rows = kernels.rows[nb - 1];
    return static_cast<double>(length / rows) * tile_cycles(kernels, rows, nb, steps) +
           tile_cycles(kernels, rows, nb, steps) / 2;
  }
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

int64_t tile_begin(const BrgemmKernels& kernels, int64_t rows, int64_t length, int64_t tile) {
  if (kernels.tile_rows > 1) return std::min(length, tile * rows);
  return length * tile / ((length + rows - 1) / rows);
}

int64_t last_half(const BrgemmKernels& kernels, int64_t length, int64_t nb) {
  const int64_t rows = kernels.tile_rows, rest = length % (2 * rows);
  return rows > 1 && kernels.rows[nb - 1] == 2 * rows && rest <= rows ? rest : 0;
}

double tiles_cycles(const BrgemmKernels& kernels, int64_t length, int64_t blocks, int64_t nb, int64_t steps,
                    bool alike) {
  const double rest = blocks % nb == 0 ? 0 : run_cycles(kernels, length, blocks % nb, steps, alike);
  return static_cast<double>(blocks / nb) * run_cycles(kernels, length, nb, steps, alike) + rest;
}

TileChoice choose_tiles(const BrgemmKernels& kernels, int64_t length, int64_t blocks, int64_t steps, int wanted,
                        bool alike) {
  if (wanted > 0 && wanted <= kernels.blocks && wanted <= blocks) return {wanted, 0};
  TileChoice best;
  for (int nb = 1; nb <= kernels.blocks && nb <= blocks; ++nb) {
    if (group_blocks(blocks, nb) != nb) continue;
    const double cycles = tiles_cycles(kernels, length, blocks, nb, steps, alike);
    if (best.cycles == 0 || cycles < best.cycles) best = {nb, cycles};
  }
  return best;
}

int64_t panel_bytes(const BrgemmKernels& kernels) {
  const CpuFeatures& cpu = cpu_features();
  return static_cast<int64_t>(kernels.tile_rows > 1 ? cpu.l2_bytes / 4 : cpu.l1d_bytes * 2);
}

}  // namespace fovea
