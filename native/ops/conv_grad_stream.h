// The weight gradient: dw[k, c, tap] = Σ_pixels x[c, pixel moved by tap] · dy[k, pixel], as products of short streams
// of pixels. Tasks are blocks of channels × blocks of filters × parts of the batch, cut by the shape; the sums of the
// parts are added in order.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/brgemm/brgemm.h"
#include "ops/ahead.h"
#include "ops/conv_axis.h"
#include "ops/conv_grad_pairs.h"
#include "ops/conv_joined.h"
#include "ops/conv_pack.h"
#include "ops/lane_rounds.h"
#include "ops/parallel.h"
#include "runtime/values.h"

namespace fovea {

struct GradProblem {
  int64_t images = 1, groups = 1;
  bool planar = false;  // x is [image][channel][h][w]; else blocked. dy is blocked.
  int planes = 0;       // of bfloat16 that stand for a float32; 0: float32 itself. Not for planar
  DType x_type = DType::kFloat32, dy_type = DType::kFloat32;  // in memory
  WeightView weight;                 // of dw; depth: channels of x in one group, lanes: channels of dy
  Axis rows, columns;                // of the forward convolution
  std::vector<int64_t> tap_offsets;  // into dw, of the tap (row, column)
  int64_t taps_w = 1;
  bool bias = false;
  double flops = 0;
  int tile_blocks = 0;  // see OpSpec
  double cut = 1;       // see OpSpec
};

class ConvGradStream {
 public:
  static Status plan(const GradProblem& problem, int threads, ConvGradStream* stream);
  size_t workspace_bytes() const;
  Status run(const RunContext& context, Values x, Values dy, float* dw, float* db, std::byte* workspace) const;
  std::vector<std::vector<double>> loops() const;  // see Operation
  std::string describe() const;
  bool has_bias() const { return problem_.bias; }
  int planes() const { return problem_.planes; }

 private:
  struct Rows {       // rows of dw that one tile computes for one unit of x
    int64_t tap;      // of `windows_`
    int64_t channel;  // of the unit: the first; side by side, where the first row starts
    int64_t target;   // first row of the unit's sums
    int m;
    std::vector<ptrdiff_t> offsets;  // planar, or of taps that are joined: where each row starts
  };
  struct Task {
    int64_t group, unit, units, block, blocks, tap, taps, part, first_chunk, last_chunk;
    bool bias;  // the tasks of the first channels and taps also sum dy
  };

  bool can_join_taps() const;
  bool copy_pays() const;
  bool images_pay() const;
  int64_t images_abreast(int64_t units) const;
  void choose_blocking();
  void cut_pixels(int64_t pixels);
  void choose_pair_tasks(int64_t pixels);
  void cut_for_threads();
  double packed_share() const;
  double task_cycles(int64_t units, int64_t blocks, int64_t taps, double part) const;
  bool tiled() const { return problem_.planes > 0 && kernels_->tile_rows > 1; }  // of AMX
  // Whether products of pairs run row by row, from one whole pair to another: shorter than rows with their padding in
  // one run. A tile of AMX is too deep for that.
  bool pair_rows() const { return problem_.planes > 0 && kernels_->tile_rows == 1 && problem_.columns.extra() > 0; }
  int64_t tap_offset(const AxisTap& row, const AxisTap& column) const;
  PixelPairs::Way pairs_way() const;
  bool has_odd_taps() const;
  void make_windows();
  void make_rows();
  std::vector<Rows> rows_side_by_side() const;
  std::vector<Rows> listed_rows(int64_t units) const;
  Task task(int64_t index) const;
  struct RowsRange {
    const Rows *first, *last;
    const Rows* begin() const { return first; }
    const Rows* end() const { return last; }
  };
  RowsRange rows_of(const Task& task, int64_t unit) const;
  bool meets(const Task& task, const LaneRound& round, int64_t unit, const Rows& rows) const;
  float* sums_of(const Task& task, int64_t block, int64_t unit, const Rows& rows, float* sums) const;
  // Where the pixels of dy stand that a chunk sums: floats from an image and from a block of filters to the next.
  struct Gradient {
    const float* at;
    int64_t image, block;
  };
  // A chunk of pixels: where x and dy of the task stand, images and rows.
  struct Chunk {
    Values x, dy;
    int64_t images, first_row, rows;
    bool accumulate;
    bool* not_finite;

    AxisSpan rows_of(const AxisSpan& span) const;
  };
  // The pixels of dy that meet pixels of x at one tap, and not its padding, and where x then stands: from the start of
  // a packed or whole unit, in floats, or of pairs in positions.
  struct Window {
    AxisSpan rows, columns;
    int64_t offset;
  };
  // What one tap multiplies in a chunk: runs of `depth` pixels, or words of pairs, begin at the entries.
  struct Terms {
    std::vector<BrgemmEntry> entries;
    int64_t depth;
    std::vector<int64_t> pieces;  // of tiles: where each begins among the entries, and their end
  };
  static void take(const Terms& terms, int64_t blocks, Ahead* ahead, BrgemmCall* call) {
    take(terms, 0, static_cast<int64_t>(terms.entries.size()), blocks, ahead, call);
  }
  static void take(const Terms& terms, int64_t first, int64_t end, int64_t blocks, Ahead* ahead, BrgemmCall* call) {
    call->entries = terms.entries.data() + first;
    call->count = end - first;
    call->depth = terms.depth;
    // Rounded up: the few lines that the tile does not come to are not left for the next, which has its own to ask for.
    const int64_t rounds = call->count * ceil_div(call->depth, kBrgemmUnroll);
    call->ahead = ahead->run(rounds * brgemm_ahead_lines(blocks));
  }
  Terms terms_of(const Chunk& chunk, const Window& window, int64_t dy_image) const;
  bool joins_pairs() const { return side_by_side_ && problem_.planes > 0; }
  // Of dy that tiles step over: pixels, or pairs of them where taps of pairs are joined.
  int64_t steps_of_row() const { return problem_.columns.outputs() / (joins_pairs() ? 2 : 1); }
  int64_t joined_dy_words() const { return band_ * steps_of_row() * kBlock; }  // of one block of filters of an image
  struct Run {  // of the stream of pixels, and where x then stands
    int64_t x, dy;
  };
  Terms pair_terms_of(const Chunk& chunk, const Window& window) const;
  Terms terms_of_runs(const Chunk& chunk, const std::vector<Run>& runs, int64_t depth) const;
  Terms tile_terms_of_runs(const Chunk& chunk, const std::vector<Run>& runs, int64_t depth) const;
  int64_t pieces_of(const Chunk& chunk) const {
    return ceil_div((packed_images() == 1 ? 1 : chunk.images) * pairs_.dy_positions(), kPiecePixels);
  }
  Terms image_terms_of(const Window& window) const;
  void pack_pairs_of_x(const Task& task, const Chunk& chunk, float* packed, float* scratch) const;
  void pack_pairs_of_dy(const Chunk& chunk, int64_t first, int64_t count, float* dy, float* scratch) const;
  // Those of all taps for a band of rows, from one of the task's chunks to the next: made anew for each, they took a
  // sixth of the time of small images.
  struct KnownTerms {
    int64_t images = 0, dy_image = 0;
    std::vector<Terms> taps;
  };
  const std::vector<Terms>& terms_of_taps(const Chunk& chunk, int64_t dy_image, KnownTerms* known) const;
  Chunk chunk_of(const Task& task, int64_t index, Values x, Values dy) const;
  Gradient gradient_of(const Task& task, const Chunk& chunk, float* wide) const;
  Gradient joined_gradient(const Task& task, const Chunk& chunk, float* words) const;
  Ahead ahead(const Task& task, const Chunk& chunk, const Chunk* next) const;
  void add_chunk(const Task& task, const Chunk& chunk, const Gradient& dy, float* packed, float* sums,
                 const std::vector<Terms>& terms, Ahead* ahead) const;
  void add_pairs(const Task& task, const Chunk& chunk, float* packed, float* sums, const std::vector<Terms>& terms,
                 Ahead* ahead) const;
  struct Pairs {  // of a chunk's channels, and of the gradients of a round's filters: from a block of them to the next
    const float *x, *dy;
    int64_t dy_block;
  };
  void multiply_pairs(const Task& task, const Chunk& chunk, const LaneRound& round, const Pairs& pairs, float* sums,
                      const std::vector<Terms>& terms, Ahead* ahead) const;
  void multiply_turned(const Task& task, const Chunk& chunk, const LaneRound& round, const Pairs& pairs, float* sums,
                       const std::vector<Terms>& terms, Ahead* ahead) const;
  void multiply_tap(const Task& task, const Chunk& chunk, const LaneRound& round, const Pairs& pairs, float* sums,
                    const Terms& terms, Ahead* ahead) const;
  void turn(const Task& task, float* sums) const;
  void add_bias(const Task& task, const Chunk& chunk, const Gradient& dy, float* sums) const;
  // Of dy, that a tile's rows of filters stand in L1 for, while those of all taps and channels multiply them: 32 KiB.
  static constexpr int64_t kPiecePixels = 512;
  int64_t packed_images() const { return abreast_ ? 1 : chunk_images_; }          // one after another
  int64_t thread_floats() const { return apart(packed_floats_ + wide_floats_); }  // packed before widened
  int64_t plane() const { return problem_.rows.outputs() * problem_.columns.outputs() * kBlock; }  // of dy
  void run_task(const Task& task, Values x, Values dy, float* packed, float* sums, bool* not_finite) const;
  void write_block(const Task& task, int64_t block, float* sums, float* dw, float* db) const;
  int64_t unit_splits() const { return ceil_div(units_, unit_task_); }
  int64_t block_splits() const { return ceil_div(blocks_, block_task_); }
  int64_t tap_splits() const { return ceil_div(taps_, tap_task_); }
  int64_t splits() const { return problem_.groups * unit_splits() * block_splits() * tap_splits(); }
  int64_t block_sum_floats() const { return (unit_task_ * tap_task_ * sum_lanes_ + 1) * kBlock; }
  int64_t bias_floats() const { return unit_task_ * tap_task_ * sum_lanes_ * kBlock; }  // before it, in a block's sums
  int64_t sum_floats() const { return apart(block_task_ * block_sum_floats()); }

  GradProblem problem_;
  const BrgemmKernels* kernels_ = nullptr;
  BrgemmRows kind_ = BrgemmRows::kChannels;
  bool direct_ = false;  // x is read where it lies
  // Rows of a tile are the channels of several taps, as if x were planar; and of those of a row, which a copy has side
  // by side.
  bool joins_taps_ = false, side_by_side_ = false;
  bool abreast_ = false;  // pairs are of images, see PixelPairs
  bool turned_ = false;   // rows of tiles are filters and columns channels, likewise
  int64_t step_ = 1;      // blocks of filters that a tile takes at once
  LaneRounds rounds_;
  int threads_ = 1;
  int64_t lanes_ = 16, units_ = 0, blocks_ = 0, taps_ = 0;  // units of x and blocks of dy in one group
  int64_t sum_lanes_ = 16;                                  // channels of x that sums have rows for
  int64_t unit_rows_ = 0;                                   // rows of dw in one unit: taps × those
  int64_t unit_task_ = 1, block_task_ = 1, tap_task_ = 1, parts_ = 1;
  int64_t band_ = 1, bands_ = 1, chunk_images_ = 1, chunks_ = 1;
  int64_t source_unit_floats_ = 0, unit_floats_ = 0, packed_floats_ = 0;
  int64_t pitch_ = 0;          // pixels of x from one row of dy to the next
  int64_t wide_floats_ = 0;    // of a chunk of dy in float32, where it lies rounded and is needed so
  int64_t pixel_floats_ = 16;  // from one of these pixels to the next
  PackedBand pack_;
  JoinedTaps joined_;
  PixelPairs pairs_;
  std::vector<Window> windows_;          // of each tap; one of all pixels where the rows of a tile are of several taps
  std::vector<std::vector<Rows>> rows_;  // of each unit
};

}  // namespace fovea
