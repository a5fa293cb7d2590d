#include "ops/conv_winograd_problem.h"

#include <algorithm>

#include "kernels/layout/layout.h"
#include "ops/bf16_products.h"
#include "ops/conv_epilogue.h"
#include "runtime/values.h"
#include "simd/macros.h"

namespace fovea {

void add_outputs(const WinogradProblem& p, const WinogradTiles& grid, int64_t first, int64_t tiles, int64_t block,
                 int64_t blocks, const RunContext& context, Ahead* ahead) {
  const auto add = [&](const void* tensor) {
    if (!tensor) return;
    const Values from = Values(tensor, p.dest_type) + block * p.dest_h * p.dest_w * kBlock;
    grid.add_targets(first, tiles, from, blocks, p.dest_blocks(), ahead);
  };
  add(context.outputs[0]);
  if (!context.epilogue) return;
  add(context.epilogue->added().at);
  add(context.epilogue->read());
}

// Where the depth is outermost, the taps of the lanes are a short run for each of it, often in a page of its own.
const float* winograd_taps(const WinogradProblem& p, const float* weight, int64_t block, int64_t first, int64_t depth,
                           float* taps) {
  constexpr int64_t kAhead = 4;  // of the depth
  const int64_t lane = block * kBlock;
  const int lanes = static_cast<int>(std::min<int64_t>(kBlock, p.lanes - lane));
  const int64_t all = p.taps * p.taps;
  if (p.depth_first) {
    for (int64_t i = 0; i < depth; ++i) {
      const float* const from = weight + ((first + i) * p.lanes + lane) * all;
      for (int64_t line = 0; line < lanes * all; line += 16) ask_to_read(from + kAhead * p.lanes * all + line);
      layout_kernels().to_blocked(from, all, lanes, all, taps + i * p.filter_floats());
    }
  } else {
    layout_kernels().to_blocked(weight + (lane * p.depth + first) * all, p.depth * all, lanes, depth * all, taps);
  }
  return p.rotated ? taps + (all - 1) * kBlock : taps;
}

const float* padded_bias(const WinogradProblem& p, const RunContext& context, float* padded) {
  if (!p.bias) return nullptr;
  if (context.holds) return padded;
  std::fill_n(padded, p.dest_blocks() * kBlock, 0.f);
  std::copy_n(context.in<float>(2), p.groups * p.lanes, padded);
  return padded;
}

namespace {

template <class Kernels>
const auto& transforms_of(const Kernels& kernels, const WinogradProblem& p, int tile) {
  if (p.stride == 2) return p.spread ? kernels.strided_gradient : kernels.strided;
  if (p.taps == 5) return kernels.five_taps;
  return tile == 2 ? kernels.two : kernels.four;
}

}  // namespace

const WinogradTransforms& winograd_transforms(const WinogradProblem& p, int tile) {
  return transforms_of(winograd_kernels(), p, tile);
}

namespace {

// The outputs of the short tiles that such an image needs, the same along both axes; 0 if whole tiles fill it. Of a
// gradient that is spread, those of one phase.
int64_t short_outputs(const WinogradTiles& grid, int64_t phases) {
  const auto more = [phases](const WinogradTileAxis& axis) {
    const int64_t rest = ceil_div((axis.dest - axis.dest_first) % axis.outputs, phases);
    return rest * phases < axis.outputs ? rest : 0;
  };
  const int64_t most = std::max(more(grid.rows), more(grid.columns));
  return most == 0 ? 0 : std::max<int64_t>(2, most);
}

}  // namespace

WinogradTiles winograd_tiles(const WinogradProblem& p, int tile) {
  const WinogradTransforms& t = winograd_transforms(p, tile);
  const auto axis = [&](int64_t source, int64_t dest, int64_t before) -> WinogradTileAxis {
    if (!p.spread) return {source, dest, t.n, t.m, -before, t.m * p.stride, 0, p.dilation};
    // Pixel h has tap 1 where h + 2 - before is odd, and taps 0 and 2 elsewhere; a tile begins with one of the former.
    const int64_t first = before % 2 == 0 ? -1 : 0;
    return {source, dest, t.n, t.m, (first + 1 - before) / 2, t.m / p.stride, first};
  };
  WinogradTiles grid{p.images, axis(p.source_h, p.dest_h, p.top), axis(p.source_w, p.dest_w, p.left), t.points};
  if (t.short_points[0] == 0 || p.dilation > 1) return grid;
  const int64_t phases = p.spread ? p.stride : 1;
  grid.short_outputs = short_outputs(grid, phases);
  grid.rows.short_outputs = grid.columns.short_outputs = grid.short_outputs * phases;
  if (grid.short_outputs > 0) grid.short_points = t.short_points[grid.short_outputs == 3];
  return grid;
}

WinogradPixelTransforms winograd_pixels(const WinogradProblem& p, int tile) {
  const WinogradBf16Kernels* const rounded = winograd_bf16_kernels();
  return {winograd_transforms(p, tile).pixels, rounded ? &transforms_of(*rounded, p, tile) : nullptr,
          winograd_tiles(p, tile)};
}

std::string winograd_name(const WinogradProblem& p, int tile) {
  const std::string m = std::to_string(tile);
  return "winograd " + m + "x" + m +
         (p.stride == 2 ? " of stride 2"
          : p.taps == 5 ? " of 5 taps"
                        : "") +
         (p.dilation > 1 ? " dilated" : "");
}

bool winograd_possible(const ConvGeometry& g) {
  const bool alike = g.r == g.s && g.stride_h == g.stride_w && g.dilation_h == g.dilation_w;
  const bool filter = g.stride_h == 1 ? g.r == 3 || g.r == 5 : g.stride_h == 2 && g.r == 3 && g.dilation_h == 1;
  const int64_t least = g.r == 5 ? 2 * kBlock : kBlock;  // channels: winograd.h has the errors
  const bool enough = std::min(g.c_group(), g.k_group()) / g.merged >= least;
  return alike && filter && g.groups_align() && g.mode == PaddingMode::kZeros && enough;
}

WinogradProblem winograd_forward(const ConvGeometry& g, bool bias, bool relu) {
  WinogradProblem p;
  p.images = g.n, p.groups = g.groups, p.depth = g.c_group(), p.lanes = g.k_group();
  p.source_h = g.h, p.source_w = g.w, p.dest_h = g.p, p.dest_w = g.q, p.top = g.top, p.left = g.left;
  p.rotated = g.flip;
  p.stride = g.stride_h, p.taps = g.r, p.dilation = g.dilation_h;
  p.bias = bias, p.relu = relu;
  return p;
}

WinogradProblem winograd_gradient(const ConvGeometry& g) {
  WinogradProblem p;
  p.images = g.n, p.groups = g.groups, p.depth = g.k_group(), p.lanes = g.c_group();
  p.source_h = g.p, p.source_w = g.q, p.dest_h = g.h, p.dest_w = g.w;
  p.stride = g.stride_h, p.taps = g.r, p.dilation = g.dilation_h;
  p.top = (p.taps - 1) * p.dilation - g.top, p.left = (p.taps - 1) * p.dilation - g.left;
  p.depth_first = true;
  p.rotated = !g.flip;
  p.spread = p.stride > 1;
  return p;
}

namespace {

// Cycles of one AVX-512 core (measured on Zen 4; where a product takes half of them, so does the rest). A product of
// 16×16 channels takes 16 at best and a tenth more with what the caches add, directly and at a frequency of a tile.
constexpr double kProduct = 17.5;
constexpr double kPixel = 16;   // transforming 16 channels at one frequency, writing and reading them
constexpr double kFilter = 15;  // likewise

constexpr double kPack = 1000;  // of 16×16 channels and one tap, for the direct sum
// In pairs of bfloat16: two products in the time of one, and weights that are rounded as they are packed.
constexpr double kPairProduct = kProduct / 2, kPairPack = 170;

double direct_cycles(const WinogradProblem& p, double product = kProduct, double pack = kPack) {
  const double pixels = static_cast<double>(p.images * (p.spread ? p.source_h * p.source_w : p.dest_h * p.dest_w));
  return static_cast<double>(blocks(p.depth) * blocks(p.lanes) * p.taps * p.taps) * (product * pixels + pack);
}

double winograd_cycles(const WinogradProblem& p, int tile, double product = kProduct) {
  const WinogradTiles grid = winograd_tiles(p, tile);
  const double tiles = static_cast<double>(grid.products()), points = static_cast<double>(grid.points);
  const double depth = static_cast<double>(blocks(p.depth)), lanes = static_cast<double>(blocks(p.lanes));
  const double filters = points * points * kFilter * kBlock * depth * lanes;
  return tiles * (product * depth * lanes + kPixel * (depth + lanes)) + filters;
}

}  // namespace

double winograd_share(const WinogradProblem& p, int tile) { return winograd_cycles(p, tile) / direct_cycles(p); }

int winograd_tile(const WinogradProblem& p) {
  if (p.stride == 2) return 4;
  if (p.taps == 5) return 2;
  return winograd_kernels().fused && winograd_cycles(p, 4) <= winograd_cycles(p, 2) ? 4 : 2;
}

bool winograd_pays(const ConvGeometry& g, const WinogradProblem& p) {
  return enough_for_winograd(g) && winograd_cycles(p, winograd_tile(p)) < 0.9 * direct_cycles(p);
}

bool winograd_beats_pairs(const ConvGeometry& g, const WinogradProblem& p) {
  return enough_for_winograd(g) &&
         winograd_cycles(p, winograd_tile(p)) < 0.9 * direct_cycles(p, kPairProduct, kPairPack);
}

bool winograd_int16_pays(const ConvGeometry& g, const WinogradProblem& p) {
  WinogradProblem whole = p;  // pairs come in units of two blocks
  whole.depth = round_up(p.depth, 2 * kBlock);
  const double direct = direct_keeps_up_with_int16() ? direct_cycles(p, kPairProduct, kPairPack) : direct_cycles(p);
  return enough_for_winograd(g) && winograd_cycles(whole, winograd_tile(p), kPairProduct) < 0.9 * direct;
}

}  // namespace fovea
