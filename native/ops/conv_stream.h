// The loop that the forward convolution and the input gradient share: streams of pixels past panels of weights.
#pragma once
#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "kernels/brgemm/brgemm.h"
#include "ops/ahead.h"
#include "ops/conv_axis.h"
#include "ops/conv_epilogue.h"
#include "ops/conv_pack.h"
#include "ops/kept_weight.h"
#include "ops/lane_rounds.h"
#include "ops/parallel.h"
#include "ops/tile_choice.h"
#include "runtime/values.h"

namespace fovea {

// dest[image][group][lane block][row][column][16] = Σ over taps and depth of source · weight (+ bias, ReLU).
struct StreamProblem {
  int64_t images = 1, groups = 1;
  bool planar = false;  // source is [image][channel][h][w]; else blocked
  int planes = 0;       // of bfloat16 that stand for a float32 (kernels/bf16/bf16.h); 0: float32 itself. Not for planar
  // In memory. Of a source that was rounded one plane is all.
  DType source_type = DType::kFloat32, dest_type = DType::kFloat32;
  WeightView weight;   // depth: source channels of one group, lanes: destination channels of one group
  Axis rows, columns;  // from the source to the destination
  int64_t dest_h = 0, dest_w = 0;
  // Offset into the weight of the tap (row, column) of the axes.
  std::vector<int64_t> tap_offsets;
  int64_t taps_w = 1;
  bool relu = false;
  bool epilogue = false;  // the cut of the pixels must not depend on the number of threads
  bool keeps = false;     // the panels and the bias, see Kept
  double flops = 0;
  int tile_blocks = 0;  // see OpSpec
  double cut = 1;       // see OpSpec
};

class ConvStream {
 public:
  // Chooses bands, groups of images and panels for one core's caches; kMemory when no workspace could hold them.
  static Status plan(const StreamProblem& problem, int threads, ConvStream* stream);

  size_t workspace_bytes() const;
  Kept kept() const { return kept_weight(problem_.keeps, prepared_floats()); }
  int64_t epilogue_slots() const { return image_groups_ * bands_; }  // 0: every output is zero, and no task writes it
  Status run(const RunContext& context, Values source, const float* weight, const float* bias, MutableValues dest,
             std::byte* workspace) const;
  std::vector<std::vector<double>> loops() const;  // see Operation
  std::string describe() const;

 private:
  struct Tile {
    int64_t a, c;           // floats from the start of the operand and of the destination's first row of the band
    int64_t a_step, c_row;  // from one pixel to the next
    int m, cover;           // m: pixels; 1 where a tile has the same pixel of several images
    BrgemmRows kind;
    int64_t strip = 0;                   // words of the sum of one, else 0
    int64_t a_second = 0, c_second = 0;  // kTwoRuns: from the first run of pixels to the second
  };
  struct Piece {                  // steps that pass over a group of pixels together: panel_bytes() of their panels
    int64_t first, count, depth;  // depth in words
  };
  // A step is one tap of one unit of a chunk.
  struct Steps {
    std::vector<BrgemmEntry> entries;  // of `chunk_` units
    std::vector<int64_t> before;       // entries before each step, and all of them
  };
  // Outputs that all take the same taps, the rectangle of two runs.
  struct Cover {
    AxisRun rows, columns;
    std::vector<Steps> steps;  // of every round, or one for all
  };
  struct Phase {
    AxisPhase row, column;
    std::vector<int64_t> taps;             // offsets into the weight
    std::vector<Piece> full, last;         // of a whole chunk of units, of the last one
    std::vector<Cover> covers;             // one, or as many as the padding makes
    std::vector<std::vector<Tile>> tiles;  // of each band, or of a whole band and of the last one
    int64_t depth = 0;                     // words of an entry
    int64_t panel = 0, block_floats = 0;   // floats: from the group's first panel, of one block of lanes
  };
  struct Task {
    int64_t group, image, images, row, rows, block, blocks;
    bool last_band;
  };
  struct Lines {  // rows of the destination
    int64_t first, count;
  };
  // A round's first row in its first block of filters, and elements from a block and from an image to the next.
  template <class T>
  struct Place {
    T* at = nullptr;
    int64_t block = 0, image = 0;
  };
  // Where the sums of a round go: to the destination, or to scratch if there they are rounded, `rounded`. Tiles of
  // pairs round the sums that are complete, and only others stay in the scratch; of float32 words all do.
  struct Target {
    Place<float> sums;
    Place<Bfloat16> rounded;
  };

  double l2_bytes() const;
  void choose_blocking();
  void choose_pixels();
  void cut_pixels(int64_t wanted);
  void choose_chunk();
  double unit_bytes(int64_t band) const;
  double all_bytes() const;         // of all units, for the band as it is
  int64_t images_together() const;  // of a tile
  int64_t pixel_tasks() const;
  bool adds_up_at_once() const;
  int64_t count_sums() const;
  void cut_for_threads();
  double task_cycles(int64_t images, int64_t rows, int64_t blocks) const;
  bool lies_as_words() const;
  bool words_pay() const;
  void read_in_place(bool direct);
  TileChoice choose_rows();
  bool can_skip() const;
  bool can_leave_padding_out() const;
  bool can_stand_abreast() const;
  TileChoice choose_padded_tiles() const;
  TileChoice choose_skipping_tiles(bool abreast) const;
  void add_phase(const AxisPhase& row, const AxisPhase& column);
  // Whether blocks of filters take channels of their own, see WeightView::parts.
  bool rounds_differ() const { return problem_.weight.parts > 1 && chunks_ == 1; }
  int blocks_by_group() const { return fovea::blocks_by_group(problem_.weight, *kernels_, depths_of(kBrgemmUnroll)); }
  int64_t depths_of(int64_t words) const { return words * unit_depth_ / lanes_; }
  bool keeps_sums() const { return chunks_ > 1 || rounds_.by_group(); }  // of all rounds of a task
  Cover make_cover(const Phase& phase, const AxisRun& rows, const AxisRun& columns) const;
  std::vector<AxisSpan> words_of_rounds(int64_t depth) const;
  Steps make_steps(const Phase& phase, const AxisRun& rows, const AxisRun& columns, const AxisSpan& words) const;
  void make_tiles(Phase* phase) const;
  bool lies_as_source() const { return direct_ || abreast_; }  // pixel by pixel, without padding
  // From one pixel to the next.
  int64_t pixel_floats() const { return abreast_ ? group_images_ * lanes_ : lanes_; }
  void add_tiles(const Phase& phase, int cover, int64_t first, int64_t rows, std::vector<Tile>* tiles) const;
  int64_t strip_words() const;
  bool comes_in_strips() const;
  static void join_halves(const Tile& half, int64_t lines, int64_t a_line, int64_t c_line, std::vector<Tile>* tiles);
  int64_t images_abreast(int64_t images) const { return abreast_ ? even(images, kernels_->rows[step_ - 1]) : 1; }
  void pack_band(Values source, const Task& task, int64_t chunk, float* scratch) const;
  // The panels of filters, of the blocks from `first` on.
  struct Panels {
    float* at;
    int64_t first;
  };
  // False if it matters that not all of these weights are finite.
  bool pack_blocks(const float* weight, int64_t group, int64_t first, int64_t last, const Panels& panels) const;
  bool pack_all(const RunContext& context, const float* weight, float* panels) const;
  // What is made of the weights before the tasks run.
  struct Prepared {
    float *panels, *bias, *harmless;  // 1 where padding may be multiplied, else 0
  };
  Prepared prepared(float* memory) const {
    float* const bias = memory + shared_panel_floats();
    return {memory, bias, bias + problem_.groups * bias_floats()};
  }
  int64_t shared_panel_floats() const { return packs_own_ ? 0 : problem_.groups * group_panel_floats_; }
  // Of a group: a block for each of a round, zeros in the lanes that others sum.
  int64_t bias_floats() const { return rounds_.blocks() * kBlock; }
  int64_t prepared_floats() const { return shared_panel_floats() + problem_.groups * bias_floats() + kBlock; }
  void prepare(const RunContext& context, const float* weight, const float* bias, const Prepared& prepared) const;
  int64_t last_depth() const;
  int64_t choose_depth(int64_t taps) const;
  std::vector<Piece> make_pieces(int64_t taps, int64_t units, int64_t depth) const;
  // Panels come in units of their own: of pairs that are read in place, a unit is half of one.
  int64_t panel_lanes() const { return problem_.planes > 0 ? kPairUnit / 2 : lanes_; }
  int64_t panel_floats(int64_t taps) const { return taps * planes_ * panel_lanes() * kBlock; }  // a unit, 16 filters
  Task task(int64_t index) const;
  Ahead ahead(Values source, const Task& task, int64_t chunk) const;
  struct Operands {
    Values source;
    const float *weight, *bias;
    MutableValues dest;
    const ConvEpilogue* epilogue;  // or null
    ConvEpilogue::Added added;     // of it, if tiles do it
  };
  const std::vector<Tile>& tiles_of(const Task& task, const Phase& phase) const;
  const std::vector<Piece>& pieces_of(const Phase& phase, int64_t chunk) const {
    return chunk == chunks_ - 1 ? phase.last : phase.full;
  }
  // Every output is stored by one tile, and as it stays.
  bool tiles_add() const {
    return !holes_ && !rounds_.by_group() && (tiles_round_ || problem_.dest_type == DType::kFloat32);
  }
  std::vector<Phase> without_padding() const;
  void run_with_panels(int64_t index, const std::vector<Phase>& phases, const Operands& operands, float* panels,
                       float* scratch, bool* not_finite) const;
  void run_task(int64_t index, const std::vector<Phase>& phases, const Operands& operands, const Panels& panels,
                float* scratch, bool* not_finite) const;
  // A task's pixels, of one chunk of channels, past the filters of one round.
  struct Pass {
    const Task& task;
    const LaneRound& round;
    int64_t chunk;
    const float* base;  // the pixels, packed or where they lie
    int64_t image_stride;
    const Operands& operands;
    const Panels& panels;
    const Target& target;
    Ahead* asked;  // for what comes next
    Ahead* read;   // by the epilogue, or null
    bool* not_finite;
  };
  struct Images {  // that one tile has a pixel of
    int64_t first;
    int count;
    bool last_piece;
  };
  void run_phase(const Pass& pass, const Phase& phase) const;
  void run_piece(const Pass& pass, const Phase& phase, const Piece& piece, bool first, bool last,
                 BrgemmCall* call) const;
  void run_tiles(const Pass& pass, const Phase& phase, const Piece& piece, const Images& images,
                 BrgemmCall* call) const;
  Ahead read_by_epilogue(const Task& task, const LaneRound& round, const ConvEpilogue& epilogue) const;
  Lines lines_of(const Task& task) const;
  Target target_of(const Task& task, const LaneRound& round, MutableValues dest, float* scratch) const;
  template <class T>
  void clear_round(const Task& task, const LaneRound& round, const Place<T>& place) const;
  void round_off(const Task& task, const LaneRound& round, const Target& target) const;
  template <class Visit>
  void for_parts(const Task& task, const LaneRound& round, const Visit& visit) const;
  int64_t thread_floats() const {
    return apart(scratch_floats_ + sum_floats_ + (packs_own_ ? group_panel_floats_ : 0) + beyond_floats_);
  }
  int64_t count_beyond() const;
  int64_t tasks() const { return problem_.groups * image_groups_ * bands_ * splits_; }

  StreamProblem problem_;
  const BrgemmKernels* kernels_ = nullptr;
  BrgemmRows rows_kind_ = BrgemmRows::kPixels;
  // direct_: the source is read where it lies. skips_: taps that would read padding are left out; else they read zeros,
  // which finite weights leave at that: pads_.
  bool direct_ = false, skips_ = false, pads_ = false, holes_ = false, asks_ahead_ = false, tiles_round_ = false;
  // Rows of a tile are the same pixel of several images, which are packed side by side: as many rows as a tile can have
  // even where maps are small, and no padding.
  bool abreast_ = false;
  // Each task packs the weights of its filters, which no other task has, and uses them while they are in its cache.
  bool packs_own_ = false;
  bool past_caches_ = false;  // see BrgemmCall: where each sum is stored once, and nothing reads it at once
  int64_t step_ = 1;          // blocks of filters that a tile takes at once
  int threads_ = 1;
  int64_t source_lanes_ = 16;                  // values of a pixel that lie side by side in the source
  int64_t lanes_ = 16;                         // words of a pixel in one unit
  int64_t unit_depth_ = 16;                    // source channels of one unit: two to a word of bfloat16 pairs
  int64_t planes_ = 1;                         // copies of the operands: one of float32, or the planes of bfloat16
  std::vector<std::pair<int, int>> products_;  // of planes, source and weight, that are added up
  int64_t units_ = 0, dest_blocks_ = 0, source_blocks_ = 0;  // of one group
  int64_t outputs_ = 0, band_ = 1, bands_ = 1;               // rows
  int64_t group_images_ = 1, image_groups_ = 1;              // images that share a pass of the weights
  int64_t chunk_ = 1, chunks_ = 1;                           // source units packed, or read, at once
  int64_t split_blocks_ = 1, splits_ = 1;                    // destination blocks of one task
  int64_t unit_floats_ = 0;                                  // of one plane of the (packed) source
  int64_t panel_blocks_ = 0, group_panel_floats_ = 0;  // of all filters of a group, or of a task that packs its own
  int64_t source_block_values_ = 0, scratch_floats_ = 0;
  int64_t sum_floats_ = 0;     // of a task's sums that are still to be rounded
  int64_t beyond_floats_ = 0;  // that tiles of AMX may read after the last row of one
  PackedBand band_pack_;
  LaneRounds rounds_;
  std::vector<Phase> phases_;
};

}  // namespace fovea
