#include "ops/conv_winograd_grad_plan.h"

#include <algorithm>

#include "ops/bf16_products.h"
#include "ops/conv_winograd_problem.h"
#include "ops/parallel.h"

namespace fovea {

namespace {

constexpr int64_t kMostBlocks = 8;  // of channels, or filters, whose sums are made at once
// What V, U and M of a chunk may fill. A fifth more than a core's L2: each frequency is used once a chunk, in order,
// and longer chunks read and write M less often (measured on Zen 4: 64 tiles of 32 channels and 64 filters are best).
constexpr int64_t kCacheBytes = 1200 * 1024;

// Cycles of one AVX-512 core (measured on Zen 4) for 16×16 channels and one tile, at one frequency: 16 multiply-adds
// and what the caches add; reading and writing 16 sums, once a chunk; transforming one pixel of V or U.
constexpr double kProduct = 17.5, kUpdate = 16 * 6.0, kTransform = 4.5;
// Pairs of 16-bit integers: a product takes half, rounding a pixel to them is added to its transform.
constexpr double kInt16Product = kProduct / 2, kInt16Transform = 7.5;
// A product of the direct sum; of bfloat16 pairs it takes half.
constexpr double kDirect = 18;

}  // namespace

WinogradGradBlocking winograd_grad_blocking(int64_t channels, int64_t filters, int64_t tiles, int64_t frequencies,
                                            bool int16) {
  WinogradGradBlocking best;
  const int64_t cache = kCacheBytes / 4 / frequencies / kBlock;  // pixels of one frequency
  const double product = int16 ? kInt16Product : kProduct, transform = int16 ? kInt16Transform : kTransform;
  for (int64_t most_c = 1; most_c <= kMostBlocks; most_c *= 2) {
    for (int64_t most_f = 1; most_f <= kMostBlocks; most_f *= 2) {
      const int64_t c = even(channels, most_c), f = even(filters, most_f);
      const int64_t fitting = std::min(kMostGradTiles, (cache - kBlock * c * f) * (int16 ? 2 : 1) / (c + f) / 8 * 8);
      if (fitting < 8) continue;
      const int64_t chunk = even(tiles, fitting);
      const double products = static_cast<double>(c * f);
      const double cycles = product + kUpdate / static_cast<double>(chunk) +
                            transform * static_cast<double>(c + (chunk == tiles ? 0 : f)) / products;
      if (best.cycles == 0 || cycles < best.cycles) best = {c, f, chunk, cycles};
    }
  }
  return best;
}

namespace {

double grad_cycles(const ConvGeometry& g, int tile, bool int16) {
  const WinogradProblem problem = winograd_forward(g, false, false);
  const WinogradTiles grid = winograd_tiles(problem, tile);
  const int64_t frequencies = grid.points * grid.points;
  const WinogradGradBlocking blocking =
      winograd_grad_blocking(blocks(problem.depth), blocks(problem.lanes), grid.count(), frequencies, int16);
  return static_cast<double>(g.groups * blocks(problem.depth) * blocks(problem.lanes)) *
         (blocking.cycles * static_cast<double>(grid.products()) + 200.0 * static_cast<double>(frequencies));
}

bool pays(const ConvGeometry& g, double product, bool int16) {
  const int64_t products = g.groups * blocks(g.c_group()) * blocks(g.k_group());
  const double direct = product * static_cast<double>(g.taps() * g.n * g.p * g.q * products);
  return enough_for_winograd(g) && grad_cycles(g, winograd_grad_tile(g), int16) < 0.9 * direct;
}

}  // namespace

int winograd_grad_tile(const ConvGeometry& g) {
  if (g.stride_h == 2) return 4;
  return winograd_kernels().fused && grad_cycles(g, 4, false) <= grad_cycles(g, 2, false) ? 4 : 2;
}

bool winograd_grad_pays(const ConvGeometry& g) { return pays(g, kDirect, false); }

bool winograd_grad_beats_pairs(const ConvGeometry& g) { return pays(g, kDirect / 2, false); }

bool winograd_grad_int16_pays(const ConvGeometry& g) {
  return pays(g, direct_keeps_up_with_int16() ? kDirect / 2 : kDirect, true);
}

}  // namespace fovea
