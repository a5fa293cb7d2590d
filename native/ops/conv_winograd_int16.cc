#include "ops/conv_winograd_int16.h"

#include <algorithm>
#include <string>

#include "kernels/int16/int16.h"
#include "ops/bf16_products.h"
#include "ops/conv_epilogue.h"
#include "ops/guarded.h"
#include "ops/kept_weight.h"
#include "ops/parallel.h"

namespace fovea {

namespace {

constexpr int64_t kRound = kInt16Blocks;              // blocks of filters
constexpr int64_t kWords = kInt16Unit / 2;            // of a pixel, or of one filter's rows, in a unit
constexpr int64_t kCacheBytes = 640 * 1024;           // of V and M: what L2 has beside the U that streams through it
constexpr int64_t kLeastTiles = 28, kMaxTiles = 128;  // of one task
constexpr int64_t kEpilogueGroups = 4;                // for any number of threads
constexpr int64_t kStageBytes = 20 * 1024;            // of tiles in float32, before they are rounded: of L1
constexpr int64_t kChunkUnits = 4;                    // of filters that are transformed at once

// Floats of so many lines of the cache, an odd number of them: powers of two meet in the same few.
constexpr int64_t odd_lines(int64_t lines) { return (lines | 1) * kBlock; }

class ConvWinogradInt16 : public Operation {
 public:
  ConvWinogradInt16(const WinogradProblem& problem, int tile, int threads);

  size_t workspace_bytes() const override;
  Kept kept() const override { return kept_weight(problem_.keeps, prepared_floats()); }
  Status run(const RunContext& context) const override;
  std::string describe() const override;
  int64_t epilogue_slots() const override { return grid_.dilated() ? 0 : shared_input_ ? 1 : tile_groups(); }

 private:
  struct Pixels {  // V of so many tiles
    int64_t tiles;
    float *v, *scales;
  };
  struct Filters {  // U of some blocks
    float *u, *scales;
  };
  struct Task {  // tiles of one group of channels and filters
    int64_t group, slot, first, tiles;
  };

  int64_t tile_groups() const { return ceil_div(tiles_, group_tiles_); }
  int64_t rounds() const { return ceil_div(lane_blocks_, kRound); }
  int64_t v_step(int64_t tiles) const { return odd_lines(units_ * tiles); }  // from a frequency to the next
  static int64_t m_step(int64_t tiles) { return odd_lines(kRound * tiles); }
  int64_t stage_step() const { return odd_lines(depth_blocks_ * stage_tiles_); }
  int64_t chunk_depth() const { return chunk_units_ * kInt16Unit; }
  int64_t chunk_step() const { return odd_lines(chunk_depth()); }
  int64_t u_step() const { return odd_lines(frequencies_ * units_ * kWords); }  // from a block of filters to the next
  int64_t scale_step() const { return frequencies_ * kBlock; }                  // likewise
  int64_t pixel_floats(int64_t tiles) const { return frequencies_ * v_step(tiles) + round_up(tiles, kBlock); }
  int64_t filter_floats(int64_t blocks) const { return blocks * (u_step() + scale_step()); }
  int64_t product_floats() const { return frequencies_ * m_step(group_tiles_); }
  int64_t tap_floats() const { return chunk_depth() * problem_.filter_floats(); }
  // A thread stages filters and tiles in the same place, which M follows, and then what of V or U is its own.
  int64_t stage_floats() const {
    return std::max(tap_floats() + frequencies_ * (chunk_step() + 2 * kBlock), frequencies_ * stage_step());
  }
  bool owns_filters() const { return shared_input_ && !problem_.keeps; }  // a thread, of one round at a time
  // The bias and the U that do not belong to a thread.
  int64_t prepared_floats() const {
    return bias_floats() + (owns_filters() ? 0 : filter_floats(problem_.dest_blocks()));
  }
  int64_t bias_floats() const { return problem_.dest_blocks() * kBlock; }
  int64_t shared_pixel_floats() const { return shared_input_ ? pixel_floats(tiles_) : 0; }
  int64_t own_floats() const {
    const int64_t rest = owns_filters() ? filter_floats(kRound) : shared_input_ ? 0 : pixel_floats(group_tiles_);
    return apart(stage_floats() + product_floats() + rest);
  }
  Pixels pixels(float* memory, int64_t tiles) const {
    return {tiles, memory, memory + frequencies_ * v_step(group_tiles_)};
  }
  Filters filters(float* memory, int64_t blocks) const { return {memory, memory + blocks * u_step()}; }
  Filters behind(const Filters& filters, int64_t blocks) const {
    return {filters.u + blocks * u_step(), filters.scales + blocks * scale_step()};
  }

  void stage_filters(const float* weight, int64_t block, int64_t unit, float* stage) const;
  void scale_filters(Int16Extent* extents, float* scales) const;
  void transform_filters(const float* weight, int64_t block, float* stage, const Filters& filters) const;
  void transform_tiles(Values source, const Task& task, int64_t first, int64_t tiles, float* stage,
                       const Pixels& pixels) const;
  void clear_missing(const WinogradOrder& order, int64_t tiles, float* stage) const;
  void multiply(const Task& task, const Pixels& pixels, const Filters& filters, int64_t blocks, Ahead* ahead,
                float* product) const;
  Ahead ahead(const RunContext& context, const Task& task, int64_t round) const;
  Task task(int64_t index) const;
  Values source(const RunContext& context, int64_t group) const {
    return Values(context.inputs[0], problem_.source_type) + group * problem_.source_floats();
  }
  // These return false if a value is not finite.
  bool transform_output(const float* product, const Task& task, int64_t block, int64_t blocks, const float* bias,
                        MutableValues dest) const;
  bool run_round(const RunContext& context, const Pixels& pixels, const Filters& filters, const Task& task,
                 int64_t round, const float* bias, float* product) const;
  bool run_task(const RunContext& context, const Task& task, const Filters& all, const float* bias, float* own) const;
  bool run_with_shared_weight(const RunContext& context, const float* bias, const Filters& all, float* scratch) const;
  bool run_with_shared_input(const RunContext& context, const float* bias, const Filters& filters,
                             float* workspace) const;

  WinogradProblem problem_;
  int tile_;
  const Int16Kernels* kernels_;
  WinogradTransforms transforms_;
  WinogradPixelTransforms pixels_;
  int threads_;
  WinogradTiles grid_;
  int64_t frequencies_, tiles_, units_, depth_blocks_, lane_blocks_;
  int64_t group_tiles_, stage_tiles_, chunk_units_;
  bool shared_input_;
};

ConvWinogradInt16::ConvWinogradInt16(const WinogradProblem& problem, int tile, int threads)
    : problem_(problem),
      tile_(tile),
      kernels_(int16_kernels()),
      transforms_(winograd_transforms(problem, tile)),
      pixels_(winograd_pixels(problem, tile)),
      threads_(threads),
      grid_(winograd_tiles(problem, tile)) {
  frequencies_ = int64_t(transforms_.points) * transforms_.points;
  tiles_ = grid_.count();
  units_ = ceil_div(problem.depth, kInt16Unit);
  depth_blocks_ = blocks(problem.depth);
  lane_blocks_ = blocks(problem.lanes);
  const int64_t tile_bytes = frequencies_ * (units_ * kWords + kRound * kBlock) * 4;
  const int64_t fitting = std::clamp(kCacheBytes / tile_bytes, kLeastTiles, kMaxTiles);
  // No bits depend on the number of groups, unless an epilogue sums over each of them.
  const int64_t multiple = problem.epilogue ? kEpilogueGroups : threads;
  const int64_t groups = ceil_div(ceil_div(tiles_, fitting), multiple) * multiple;
  // U is larger than V when there are more filters than tiles; then no task should need all of it.
  shared_input_ = problem.groups == 1 && tiles_ <= kMaxTiles && tiles_ < problem.lanes;
  group_tiles_ = shared_input_ ? tiles_ : ceil_div(tiles_, groups);
  stage_tiles_ = std::clamp<int64_t>(kStageBytes / (frequencies_ * depth_blocks_ * kBlock * 4), 1, group_tiles_);
  chunk_units_ = std::min(units_, kChunkUnits);
}

size_t ConvWinogradInt16::workspace_bytes() const {
  const int64_t floats = (problem_.keeps ? 0 : prepared_floats()) + shared_pixel_floats() + threads_ * own_floats();
  return static_cast<size_t>(floats) * sizeof(float);
}

// U in float32 of one block of filters and the channels from `unit` on.
void ConvWinogradInt16::stage_filters(const float* weight, int64_t block, int64_t unit, float* stage) const {
  const int64_t first = unit * kInt16Unit, rows = std::min(chunk_depth(), units_ * kInt16Unit - first);
  const int64_t depth = std::min(rows, problem_.depth - first);  // the others are zeros
  const float* const tap = winograd_taps(problem_, weight, block, first, depth, stage + frequencies_ * chunk_step());
  transforms_.weight(tap, problem_.rotated ? -kBlock : kBlock, static_cast<int>(depth), stage, kBlock, chunk_step());
  for (int64_t f = 0; f < frequencies_; ++f)
    std::fill_n(stage + f * chunk_step() + depth * kBlock, (rows - depth) * kBlock, 0.f);
}

// The scales of one block's filters at all frequencies; the inverses take the place of what is known of them.
void ConvWinogradInt16::scale_filters(Int16Extent* extents, float* scales) const {
  for (int64_t f = 0; f < frequencies_; ++f) {
    Int16Extent& extent = extents[f];
    for (int64_t lane = 0; lane < kBlock; ++lane) {
      const float norm = int16_norm(extent.squares[lane], extent.largest[lane], static_cast<float>(problem_.depth));
      scales[f * kBlock + lane] = norm / kInt16Norm;
      extent.squares[lane] = int16_inverse(norm);
    }
  }
}

// A filter's scale is known when all of its channels are: where they are too many for one chunk, they are transformed
// twice.
void ConvWinogradInt16::transform_filters(const float* weight, int64_t block, float* stage,
                                          const Filters& filters) const {
  Int16Extent* const extents = reinterpret_cast<Int16Extent*>(stage + frequencies_ * chunk_step() + tap_floats());
  std::fill_n(extents, frequencies_, Int16Extent{});
  for (int64_t unit = 0; unit < units_; unit += chunk_units_) {
    stage_filters(weight, block, unit, stage);
    const int64_t rows = std::min(chunk_depth(), problem_.depth - unit * kInt16Unit);
    for (int64_t f = 0; f < frequencies_; ++f) kernels_->extend(stage + f * chunk_step(), rows, extents + f);
  }
  scale_filters(extents, filters.scales);
  for (int64_t unit = 0; unit < units_; ++unit) {
    const int64_t in_chunk = unit % chunk_units_;
    if (units_ > chunk_units_ && in_chunk == 0) stage_filters(weight, block, unit, stage);
    for (int64_t f = 0; f < frequencies_; ++f) {
      kernels_->round_filters(stage + f * chunk_step() + in_chunk * kInt16Unit * kBlock, extents[f].squares,
                              filters.u + (f * units_ + unit) * kWords * kBlock);
    }
  }
}

// The frequencies that short tiles do not have: rounding looks at all.
void ConvWinogradInt16::clear_missing(const WinogradOrder& order, int64_t tiles, float* stage) const {
  if (order.kind(kWholeTiles).count == tiles) return;
  for (int64_t f = 0; f < frequencies_; ++f) {
    const WinogradOrder::Range there = grid_.with_frequency(order, f);
    if (there.count == tiles) continue;
    for (int64_t block = 0; block < depth_blocks_; ++block) {
      float* const row = stage + f * stage_step() + block * tiles * kBlock;
      std::fill_n(row, there.first * kBlock, 0.f);
      std::fill(row + (there.first + there.count) * kBlock, row + tiles * kBlock, 0.f);
    }
  }
}

// V of the task's tiles in the places [first, first + tiles).
void ConvWinogradInt16::transform_tiles(Values source, const Task& task, int64_t first, int64_t tiles, float* stage,
                                        const Pixels& pixels) const {
  const int64_t plane = problem_.source_h * problem_.source_w * kBlock;
  WinogradWindow windows[kMaxTiles];
  grid_.windows(task.first, task.tiles, problem_.source_blocks(), {first, tiles}, windows);
  const WinogradOrder order = grid_.order(task.first, task.tiles);
  for (int64_t tile = 0; tile < tiles; tile += stage_tiles_) {
    const int64_t some = std::min(stage_tiles_, tiles - tile), to = first + tile;
    const WinogradOrder part = order.part(to, some);
    for (int64_t block = 0; block < depth_blocks_; ++block) {
      pixels_.input(source + block * plane, part, windows + tile, tiles - tile, stage + block * some * kBlock,
                    stage_step());
    }
    clear_missing(part, some, stage);
    kernels_->round_tiles(static_cast<int>(some), stage, stage_step(), some * kBlock, static_cast<int>(frequencies_),
                          static_cast<int>(depth_blocks_), pixels.v + to * kWords, v_step(pixels.tiles),
                          pixels.tiles * kWords, pixels.scales + to);
  }
}

void ConvWinogradInt16::multiply(const Task& task, const Pixels& pixels, const Filters& filters, int64_t blocks,
                                 Ahead* ahead, float* product) const {
  const int64_t tiles = pixels.tiles;
  const WinogradOrder order = grid_.order(task.first, tiles);
  Int16Multiply call{};
  call.v_unit = tiles * kWords;
  call.u_block = u_step();
  call.u_scale_block = scale_step();
  call.product_block = tiles * kBlock;
  call.units = static_cast<int>(units_);
  call.blocks = static_cast<int>(blocks);
  for (int64_t f = 0; f < frequencies_; ++f) {
    const WinogradOrder::Range some = grid_.with_frequency(order, f);
    if (some.count == 0) continue;
    call.tiles = static_cast<int>(some.count);
    call.v = pixels.v + f * v_step(tiles) + some.first * kWords;
    call.v_scale = pixels.scales + some.first;
    call.u = filters.u + f * units_ * kWords * kBlock;
    call.u_scale = filters.scales + f * kBlock;
    call.product = product + f * m_step(tiles) + some.first * kBlock;
    call.ahead = ahead->part();
    kernels_->multiply(call);
  }
}

ConvWinogradInt16::Task ConvWinogradInt16::task(int64_t index) const {
  const int64_t slot = index % tile_groups(), first = slot * group_tiles_;
  return {index / tile_groups(), slot, first, std::min(group_tiles_, tiles_ - first)};
}

bool ConvWinogradInt16::transform_output(const float* product, const Task& task, int64_t block, int64_t blocks,
                                         const float* bias, MutableValues dest) const {
  const WinogradProblem& p = problem_;
  const int64_t tiles = task.tiles;
  const int64_t plane = p.dest_h * p.dest_w * kBlock;
  WinogradTarget targets[kMaxTiles];
  grid_.targets(task.first, tiles, p.dest_blocks(), targets);
  const WinogradOrder order = grid_.order(task.first, tiles);
  bool finite = true;
  for (int64_t b = block; b < block + blocks; ++b) {
    const bool all =
        pixels_.output(product + (b - block) * tiles * kBlock, m_step(tiles), bias ? bias + b * kBlock : nullptr,
                       p.relu, p.lanes - b * kBlock, order, targets, dest + b * plane);
    if (!all) finite = false;
  }
  return finite;
}

// While a round multiplies: what it will write, what its epilogue reads, and a share of what the next task begins with.
Ahead ConvWinogradInt16::ahead(const RunContext& context, const Task& task, int64_t round) const {
  Ahead ahead;
  const int64_t block = round * kRound, blocks = std::min(kRound, lane_blocks_ - block);
  add_outputs(problem_, grid_, task.first, task.tiles, task.group * lane_blocks_ + block, blocks, context, &ahead);
  const int64_t next = task.first + task.tiles, plane = problem_.source_h * problem_.source_w * kBlock;
  const int64_t from = depth_blocks_ * round / rounds(), to = depth_blocks_ * (round + 1) / rounds();
  grid_.add_sources(next, std::min(group_tiles_, tiles_ - next), source(context, task.group) + from * plane, to - from,
                    problem_.source_blocks(), &ahead);
  ahead.share(frequencies_);
  return ahead;
}

// From V and U of one round of the group's filters to the output.
bool ConvWinogradInt16::run_round(const RunContext& context, const Pixels& pixels, const Filters& filters,
                                  const Task& task, int64_t round, const float* bias, float* product) const {
  const int64_t block = round * kRound, blocks = std::min(kRound, lane_blocks_ - block);
  const int64_t first = task.group * lane_blocks_;  // block of the group
  Ahead ahead = this->ahead(context, task, round);
  multiply(task, pixels, filters, blocks, &ahead, product);
  const bool finite =
      transform_output(product, task, block, blocks, bias ? bias + first * kBlock : nullptr,
                       MutableValues(context.outputs[0], problem_.dest_type) + task.group * problem_.dest_floats());
  if (context.epilogue)
    finish_tiles(grid_, task.first, task.tiles, first + block, blocks, task.slot, *context.epilogue);
  return finite;
}

bool ConvWinogradInt16::run_task(const RunContext& context, const Task& task, const Filters& all, const float* bias,
                                 float* own) const {
  float* const product = own + stage_floats();
  const Pixels pixels = this->pixels(product + product_floats(), task.tiles);
  transform_tiles(source(context, task.group), task, 0, task.tiles, own, pixels);
  bool finite = true;
  for (int64_t round = 0; round < rounds(); ++round) {
    const Filters filters = behind(all, task.group * lane_blocks_ + round * kRound);
    if (!run_round(context, pixels, filters, task, round, bias, product)) finite = false;
  }
  return finite;
}

// Many tiles: U first, then each task goes from its input pixels to its output pixels within a core's L2.
bool ConvWinogradInt16::run_with_shared_weight(const RunContext& context, const float* bias, const Filters& all,
                                               float* scratch) const {
  std::atomic<bool> finite{true};
  const Status cancelled =
      for_tasks_of_threads(context, context.holds ? 0 : problem_.dest_blocks(), [&](int64_t index, int thread) {
        transform_filters(context.in<float>(1) + index / lane_blocks_ * problem_.weight_floats(), index % lane_blocks_,
                          scratch + thread * own_floats(), behind(all, index));
      });
  if (!cancelled.ok()) return true;
  (void)for_tasks_of_threads(context, problem_.groups * tile_groups(), [&](int64_t index, int thread) {
    if (!run_task(context, task(index), all, bias, scratch + thread * own_floats())) finite = false;
  });
  return finite;
}

// More filters than tiles: V first, then each task transforms filters that no other task needs.
bool ConvWinogradInt16::run_with_shared_input(const RunContext& context, const float* bias, const Filters& filters,
                                              float* workspace) const {
  const Pixels all = pixels(workspace, tiles_);
  float* const scratch = workspace + shared_pixel_floats();
  const Values source = this->source(context, 0);
  std::atomic<bool> finite{true};
  const Status cancelled =
      for_tasks_of_threads(context, ceil_div(tiles_, stage_tiles_), [&](int64_t index, int thread) {
        const int64_t first = index * stage_tiles_, tiles = std::min(stage_tiles_, tiles_ - first);
        transform_tiles(source, task(0), first, tiles, scratch + thread * own_floats(), all);
      });
  if (!cancelled.ok()) return true;
  (void)for_tasks_of_threads(context, rounds(), [&](int64_t round, int thread) {
    float *const own = scratch + thread * own_floats(), *const product = own + stage_floats();
    const int64_t block = round * kRound, blocks = std::min(kRound, lane_blocks_ - block);
    const Filters some = owns_filters() ? this->filters(product + product_floats(), kRound) : behind(filters, block);
    for (int64_t b = 0; b < blocks && !context.holds; ++b)
      transform_filters(context.in<float>(1), block + b, own, behind(some, b));
    if (!run_round(context, all, some, task(0), round, bias, product)) finite = false;
  });
  return finite;
}

Status ConvWinogradInt16::run(const RunContext& context) const {
  const WeightMemory memory = weight_memory(context, context.workspace, problem_.keeps, prepared_floats());
  const float* const bias = padded_bias(problem_, context, memory.made);
  const Filters all = filters(memory.made + bias_floats(), problem_.dest_blocks());
  const bool finite = shared_input_ ? run_with_shared_input(context, bias, all, memory.rest)
                                    : run_with_shared_weight(context, bias, all, memory.rest);
  if (!finite) report_not_finite(context);
  return context.cancelled.load(std::memory_order_relaxed) ? Status(Code::kAborted, "cancelled") : Status();
}

std::string ConvWinogradInt16::describe() const {
  return winograd_name(problem_, tile_) + " in int16: " + kernels_->name + ", tiles " + std::to_string(group_tiles_) +
         ", " + (shared_input_ ? "input" : "filters") + " transformed first, tasks " +
         std::to_string(shared_input_ ? rounds() : problem_.groups * tile_groups());
}

}  // namespace

bool winograd_int16_possible(const OpSpec& spec) { return spec.precision == Precision::kMedium && int16_kernels(); }

Status make_winograd_int16(const WinogradProblem& problem, int tile, int threads, std::unique_ptr<Operation> direct,
                           std::unique_ptr<Operation>* operation) {
  *operation =
      std::make_unique<Guarded>(std::make_unique<ConvWinogradInt16>(problem, tile, threads), std::move(direct));
  return {};
}

}  // namespace fovea
