// The loop that the forward convolution and the input gradient share: streams of pixels past panels of weights.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/brgemm/brgemm.h"
#include "ops/conv_axis.h"
#include "ops/conv_pack.h"

namespace fovea {

// dest[image][group][lane block][row][column][16] = Σ over taps and depth of source · weight (+ bias, ReLU).
struct StreamProblem {
  int64_t images = 1, groups = 1;
  bool planar = false;  // source is [image][channel][h][w]; else blocked
  WeightView weight;    // depth: source channels of one group, lanes: destination channels of one group
  Axis rows, columns;   // from the source to the destination
  int64_t dest_h = 0, dest_w = 0;
  // Offset into the weight of the tap (row, column) of the axes.
  std::vector<int64_t> tap_offsets;
  int64_t taps_w = 1;
  bool relu = false;
  double flops = 0;
};

class ConvStream {
 public:
  // Chooses bands, groups of images and panels for one core's caches; kMemory when no workspace could hold them.
  static Status plan(const StreamProblem& problem, int threads, ConvStream* stream);

  size_t workspace_bytes() const;
  int64_t epilogue_slots() const { return image_groups_ * bands_; }  // 0: every output is zero, and no task writes it
  Status run(const RunContext& context, const float* source, const float* weight, const float* bias, float* dest,
             std::byte* workspace) const;
  std::string describe() const;

 private:
  struct Tile {
    int64_t a, c;  // floats from the start of the packed image and of the destination's first row of the band
    int m;
  };
  struct Piece {  // entries that pass over a group of pixels together: their panel stays in L1
    int64_t first, count, depth;
  };
  struct Phase {
    AxisPhase row, column;
    std::vector<int64_t> taps;            // offsets into the weight
    std::vector<BrgemmEntry> entries;     // of `chunk_` units
    std::vector<Piece> full, last;        // of a whole chunk of units, of the last one
    std::vector<Tile> tiles, last_tiles;  // of a whole band, of the last one
    int64_t panel = 0, block_floats = 0;  // floats: from the group's first panel, of one block of lanes
  };
  struct Task {
    int64_t group, image, images, row, rows, block, blocks;
    bool last_band;
  };

  void choose_blocking();
  void add_phase(const AxisPhase& row, const AxisPhase& column);
  std::vector<Tile> make_tiles(const Phase& phase, int64_t rows) const;
  std::vector<Piece> make_pieces(int64_t taps, int64_t units) const;
  Task task(int64_t index) const;
  void run_task(const Task& task, const float* source, const float* panels, const float* bias, float* dest,
                float* scratch) const;
  void run_phase(const Task& task, const Phase& phase, int64_t chunk, const float* base, int64_t image_stride,
                 const float* panels, const float* bias, float* dest) const;
  void finish_task(const Task& task, const ConvEpilogue& epilogue) const;
  int64_t tasks() const { return problem_.groups * image_groups_ * bands_ * splits_; }

  StreamProblem problem_;
  const BrgemmKernels* kernels_ = nullptr;
  BrgemmRows rows_kind_ = BrgemmRows::kPixels;
  bool direct_ = false, holes_ = false;
  int64_t step_ = 1;  // blocks of filters that a tile takes at once
  int threads_ = 1;
  int64_t lanes_ = 16;                           // of one unit of the source
  int64_t units_ = 0, dest_blocks_ = 0;          // of one group
  int64_t outputs_ = 0, band_ = 1, bands_ = 1;   // rows
  int64_t group_images_ = 1, image_groups_ = 1;  // images that share a pass of the weights
  int64_t chunk_ = 1, chunks_ = 1;               // source units packed at once
  int64_t split_blocks_ = 1, splits_ = 1;        // destination blocks of one task
  int64_t unit_floats_ = 0;                      // of the (packed) source
  int64_t group_panel_floats_ = 0, source_unit_floats_ = 0, scratch_floats_ = 0;
  PackedBand band_pack_;
  std::vector<Phase> phases_;
};

}  // namespace fovea
