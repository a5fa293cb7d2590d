// 3×3 convolutions of stride 1 by Winograd's minimal filtering: kernels/winograd/winograd.h has the formula and what it
// costs in accuracy.
//
//   V[f][channel block][tile][16]        transform_input, for the tiles of one task
//   U[f][filter group][channel][16·nb]   transform_weight, nb blocks to a group
//   M[f][filter block][tile][16]         multiply_tiles, for one task
//
// The operand that is used most often is transformed once, before the tasks; the other one within each task.
#pragma once
#include <memory>
#include <string>

#include "kernels/winograd/winograd.h"
#include "ops/conv_geometry.h"

namespace fovea {

// dest[image][lane][p][q] = act(bias[lane] + Σ source[image][depth][p + r - top][q + s - left] ·
// filter[lane][depth][r][s]) The forward convolution, and its input gradient with the filter rotated and depth and
// lanes exchanged.
struct WinogradProblem {
  int64_t images = 1, depth = 1, lanes = 1;
  int64_t source_h = 1, source_w = 1, dest_h = 1, dest_w = 1, top = 0, left = 0;
  bool depth_first = false;  // weight is [depth][lanes][3][3], not [lanes][depth][3][3]
  bool rotated = false;      // filter (r, s) is weight (2 - r, 2 - s)
  bool bias = false, relu = false;
  DType source_type = DType::kFloat32, dest_type = DType::kFloat32;  // in memory
  bool epilogue = false;  // the cut into tasks must not depend on the number of threads
};

// How the images of a convolution are cut into tiles of m×m outputs, numbered image by image, row by row.
struct WinogradTiles {
  int64_t m, images, source_h, source_w, dest_h, dest_w, top, left;

  int64_t rows() const { return (dest_h + m - 1) / m; }
  int64_t columns() const { return (dest_w + m - 1) / m; }
  int64_t count() const { return images * rows() * columns(); }
  // Of tiles [first, first + count), in the first of the `blocks` blocks of channels that the image has.
  void windows(int64_t first, int64_t count, int64_t blocks, WinogradWindow* windows) const;
  void targets(int64_t first, int64_t count, int64_t blocks, WinogradTarget* targets) const;
};

// 3×3, stride 1, no dilation, no groups, padding of zeros.
bool winograd_possible(const ConvGeometry& g);

WinogradProblem winograd_forward(const ConvGeometry& g, bool bias, bool relu);
WinogradProblem winograd_gradient(const ConvGeometry& g);

// The size of tiles that pays: 4, 2, or 0 where the direct convolution is better or Winograd cannot do it.
int winograd_tile(const ConvGeometry& g, const WinogradProblem& problem);

// `direct` computes the same; it runs when a value is not finite (Inf, NaN or overflow, which tiles spread).
Status make_winograd(const WinogradProblem& problem, int tile, int threads, std::unique_ptr<Operation> direct,
                     std::unique_ptr<Operation>* operation);

}  // namespace fovea
