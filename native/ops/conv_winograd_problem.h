// What convolutions by Winograd's algorithm have in common, whatever they multiply: what is computed, the transforms,
// the cut into tiles, and whether it pays.
#pragma once
#include <string>

#include "kernels/winograd/winograd.h"
#include "ops/conv_geometry.h"
#include "ops/conv_winograd_tiles.h"
#include "runtime/operation.h"

namespace fovea {

// dest[image][lane][p][q] = act(bias[lane] + Σ source[image][depth][stride·p + r - top][stride·q + s - left] ·
// filter[lane][depth][r][s]). The forward convolution, and its input gradient with the filter rotated and depth and
// lanes exchanged; with `spread`, the gradient through a stride: source (p + r - top) / stride where that is whole.
struct WinogradProblem {
  int64_t images = 1, groups = 1;
  int64_t depth = 1, lanes = 1;  // of a group: whole blocks, if there are several
  int64_t source_h = 1, source_w = 1, dest_h = 1, dest_w = 1, top = 0, left = 0;
  bool depth_first = false;  // weight is [depth][lanes][taps][taps], not [lanes][depth][taps][taps]
  bool rotated = false;      // filter (r, s) is weight (taps - 1 - r, taps - 1 - s)
  bool bias = false, relu = false;
  DType source_type = DType::kFloat32, dest_type = DType::kFloat32;  // in memory
  bool epilogue = false;  // the cut into tasks must not depend on the number of threads
  bool keeps = false;     // U and the bias, see Kept
  int64_t stride = 1;
  bool spread = false;
  int64_t taps = 3, dilation = 1;  // along both axes

  int64_t filter_floats() const { return taps * taps * kBlock; }         // of one channel, for one block of lanes
  int64_t weight_floats() const { return depth * lanes * taps * taps; }  // of a group
  int64_t source_blocks() const { return groups * blocks(depth); }       // of an image
  int64_t dest_blocks() const { return groups * blocks(lanes); }         // likewise
  int64_t source_floats() const { return blocks(depth) * source_h * source_w * kBlock; }  // of a group of one image
  int64_t dest_floats() const { return blocks(lanes) * dest_h * dest_w * kBlock; }        // likewise
};

// [depth][taps²][16]: the filters of one block of lanes in the lanes, for channels [first, first + depth). Returns the
// first tap; the others follow by 16 floats, or precede it where the filter is rotated.
const float* winograd_taps(const WinogradProblem& problem, const float* weight, int64_t block, int64_t first,
                           int64_t depth, float* taps);
// The bias with zeros in the lanes that do not exist, or null if there is none; `padded` may hold it already.
const float* padded_bias(const WinogradProblem& problem, const RunContext& context, float* padded);
// Adds to what is asked for what the tiles [first, first + tiles) will write in the blocks [block, block + blocks) of
// an image, and what an epilogue reads there.
void add_outputs(const WinogradProblem& problem, const WinogradTiles& grid, int64_t first, int64_t tiles, int64_t block,
                 int64_t blocks, const RunContext& context, Ahead* ahead);

// The transforms for a problem and the size of its tiles, the cut into them, and both for their pixels.
const WinogradTransforms& winograd_transforms(const WinogradProblem& problem, int tile);
WinogradTiles winograd_tiles(const WinogradProblem& problem, int tile);
WinogradPixelTransforms winograd_pixels(const WinogradProblem& problem, int tile);
// "winograd 4x4", "winograd 4x4 of stride 2", "winograd 2x2 of 5 taps": what lib/graph/passes.ts counts the products
// by.
std::string winograd_name(const WinogradProblem& problem, int tile);

// 3×3 of stride 1 or 2, 5×5 of stride 1, or dilated and of stride 1, alike along both axes; padding of zeros, and
// enough channels; of groups whole blocks.
bool winograd_possible(const ConvGeometry& g);

WinogradProblem winograd_forward(const ConvGeometry& g, bool bias, bool relu);
WinogradProblem winograd_gradient(const ConvGeometry& g);

// What an estimate says that it takes of the direct sum's time.
double winograd_share(const WinogradProblem& problem, int tile);
// The better size of tiles, 4 or 2, and whether they are faster than the direct sum.
int winograd_tile(const WinogradProblem& problem);
bool winograd_pays(const ConvGeometry& g, const WinogradProblem& problem);
// Than the direct sum of bfloat16 pairs.
bool winograd_beats_pairs(const ConvGeometry& g, const WinogradProblem& problem);
// The same with products of pairs of its own, of 16-bit integers.
bool winograd_int16_pays(const ConvGeometry& g, const WinogradProblem& problem);
// Less work is done in a tenth of a millisecond anyway, and directly it is exact when the numbers are small integers.
// Of a single image, whose forward pass takes no longer than that, less is enough: 20 microseconds.
inline bool enough_for_winograd(const ConvGeometry& g) { return g.flops() >= (g.n == 1 && g.taps() == 9 ? 4e6 : 2e7); }

}  // namespace fovea
