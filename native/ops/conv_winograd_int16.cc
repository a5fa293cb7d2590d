#include "ops/conv_winograd_int16.h"

#include <algorithm>
#include <string>

#include "kernels/int16/int16.h"
#include "ops/bf16_products.h"
#include "ops/conv_epilogue.h"
#include "ops/guarded.h"
#include "ops/parallel.h"

namespace fovea {

namespace {

constexpr int64_t kRound = 2;                         // blocks of filters: what the products take at once
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
  Status run(const RunContext& context) const override;
  std::string describe() const override;
  int64_t epilogue_slots() const override { return grid_.dilated() ? 0 : groups(); }

 private:
  // What a thread has for itself, in turn for filters and for tiles.
  struct Filters {
    float *taps, *staged;
    Int16Extent* extents;
  };
  struct Tiles {
    float *v, *product, *staged, *scales;
  };

  int64_t groups() const { return ceil_div(tiles_, group_tiles_); }
  int64_t v_step(int64_t tiles) const { return odd_lines(units_ * tiles); }  // from a frequency to the next
  static int64_t m_step(int64_t tiles) { return odd_lines(kRound * tiles); }
  int64_t stage_step() const { return odd_lines(depth_blocks_ * stage_tiles_); }
  int64_t chunk_depth() const { return chunk_units_ * kInt16Unit; }
  int64_t u_step() const { return odd_lines(frequencies_ * units_ * kWords); }  // from a block of filters to the next
  int64_t scale_floats() const { return lane_blocks_ * frequencies_ * kBlock; }
  int64_t tap_floats() const { return chunk_depth() * problem_.filter_floats(); }
  int64_t filter_floats() const { return tap_floats() + frequencies_ * (odd_lines(chunk_depth()) + 2 * kBlock); }
  int64_t tile_floats() const {
    return frequencies_ * (v_step(group_tiles_) + m_step(group_tiles_) + stage_step()) + round_up(group_tiles_, kBlock);
  }
  int64_t own_floats() const { return std::max(filter_floats(), tile_floats()); }
  Filters filters(float* own) const;
  Tiles tiles(float* own) const;

  void stage_filters(const float* weight, int64_t block, int64_t unit, const Filters& own) const;
  void scale_filters(Int16Extent* extents, float* scales) const;
  void transform_filters(const float* weight, int64_t block, const Filters& own, float* u, float* scales) const;
  void transform_input(Values source, int64_t first, int64_t tiles, const Tiles& own) const;
  void multiply(const Tiles& own, const float* u, const float* scales, int64_t tiles, int64_t blocks) const;
  bool transform_output(const float* product, int64_t first, int64_t tiles, int64_t block, int64_t blocks,
                        const float* bias, MutableValues dest) const;
  bool run_group(const RunContext& context, int64_t group, const float* u, const float* scales, const float* bias,
                 const Tiles& own) const;

  WinogradProblem problem_;
  int tile_;
  const Int16Kernels* kernels_;
  WinogradTransforms transforms_;
  const WinogradBf16Transforms* rounded_;  // for pixels that lie in memory as bfloat16
  int threads_;
  WinogradTiles grid_;
  int64_t frequencies_, tiles_, units_, depth_blocks_, lane_blocks_;
  int64_t group_tiles_, stage_tiles_, chunk_units_;
};

ConvWinogradInt16::ConvWinogradInt16(const WinogradProblem& problem, int tile, int threads)
    : problem_(problem),
      tile_(tile),
      kernels_(int16_kernels()),
      transforms_(winograd_transforms(problem, tile)),
      rounded_(winograd_bf16_transforms(problem, tile)),
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
  group_tiles_ = ceil_div(tiles_, ceil_div(ceil_div(tiles_, fitting), multiple) * multiple);
  stage_tiles_ = std::clamp<int64_t>(kStageBytes / (frequencies_ * depth_blocks_ * kBlock * 4), 1, group_tiles_);
  chunk_units_ = std::min(units_, kChunkUnits);
}

ConvWinogradInt16::Filters ConvWinogradInt16::filters(float* own) const {
  float* const staged = own + tap_floats();
  return {own, staged, reinterpret_cast<Int16Extent*>(staged + frequencies_ * odd_lines(chunk_depth()))};
}

ConvWinogradInt16::Tiles ConvWinogradInt16::tiles(float* own) const {
  float* const product = own + frequencies_ * v_step(group_tiles_);
  float* const staged = product + frequencies_ * m_step(group_tiles_);
  return {own, product, staged, staged + frequencies_ * stage_step()};
}

size_t ConvWinogradInt16::workspace_bytes() const {
  const int64_t shared = lane_blocks_ * (kBlock + u_step()) + scale_floats();
  return static_cast<size_t>(shared + threads_ * own_floats()) * sizeof(float);
}

// U in float32 of one block of filters and the channels from `unit` on.
void ConvWinogradInt16::stage_filters(const float* weight, int64_t block, int64_t unit, const Filters& own) const {
  const int64_t first = unit * kInt16Unit, step = odd_lines(chunk_depth());
  const int64_t rows = std::min(chunk_depth(), units_ * kInt16Unit - first);
  const int64_t depth = std::min(rows, problem_.depth - first);  // the others are zeros
  const float* const taps = winograd_taps(problem_, weight, block, first, depth, own.taps);
  transforms_.weight(taps, problem_.rotated ? -kBlock : kBlock, static_cast<int>(depth), own.staged, kBlock, step);
  for (int64_t f = 0; f < frequencies_; ++f)
    std::fill_n(own.staged + f * step + depth * kBlock, (rows - depth) * kBlock, 0.f);
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
void ConvWinogradInt16::transform_filters(const float* weight, int64_t block, const Filters& own, float* u,
                                          float* scales) const {
  const int64_t step = odd_lines(chunk_depth());
  std::fill_n(own.extents, frequencies_, Int16Extent{});
  for (int64_t unit = 0; unit < units_; unit += chunk_units_) {
    stage_filters(weight, block, unit, own);
    const int64_t rows = std::min(chunk_depth(), problem_.depth - unit * kInt16Unit);
    for (int64_t f = 0; f < frequencies_; ++f) kernels_->extend(own.staged + f * step, rows, own.extents + f);
  }
  scale_filters(own.extents, scales + block * frequencies_ * kBlock);
  for (int64_t unit = 0; unit < units_; ++unit) {
    const int64_t in_chunk = unit % chunk_units_;
    if (units_ > chunk_units_ && in_chunk == 0) stage_filters(weight, block, unit, own);
    for (int64_t f = 0; f < frequencies_; ++f) {
      kernels_->round_filters(own.staged + f * step + in_chunk * kInt16Unit * kBlock, own.extents[f].squares,
                              u + block * u_step() + (f * units_ + unit) * kWords * kBlock);
    }
  }
}

// V of `tiles` tiles from `first` on.
void ConvWinogradInt16::transform_input(Values source, int64_t first, int64_t tiles, const Tiles& own) const {
  const int64_t plane = problem_.source_h * problem_.source_w * kBlock;
  WinogradWindow windows[kMaxTiles];
  grid_.windows(first, tiles, depth_blocks_, windows);
  for (int64_t tile = 0; tile < tiles; tile += stage_tiles_) {
    const int64_t some = std::min(stage_tiles_, tiles - tile);
    for (int64_t block = 0; block < depth_blocks_; ++block) {
      winograd_input(transforms_, rounded_, source + block * plane, grid_, windows + tile, some,
                     own.staged + block * some * kBlock, stage_step());
    }
    for (int64_t t = 0; t < some; ++t) {
      own.scales[tile + t] = kernels_->round_tile(own.staged + t * kBlock, stage_step(), some * kBlock,
                                                  static_cast<int>(frequencies_), static_cast<int>(depth_blocks_),
                                                  own.v + (tile + t) * kWords, v_step(tiles), tiles * kWords);
    }
  }
}

// One round of filters.
void ConvWinogradInt16::multiply(const Tiles& own, const float* u, const float* scales, int64_t tiles,
                                 int64_t blocks) const {
  Int16Multiply call{};
  call.v_scale = own.scales;
  call.v_unit = tiles * kWords;
  call.u_block = u_step();
  call.u_scale_block = frequencies_ * kBlock;
  call.product_block = tiles * kBlock;
  call.units = static_cast<int>(units_);
  call.tiles = static_cast<int>(tiles);
  call.blocks = static_cast<int>(blocks);
  for (int64_t f = 0; f < frequencies_; ++f) {
    call.v = own.v + f * v_step(tiles);
    call.u = u + f * units_ * kWords * kBlock;
    call.u_scale = scales + f * kBlock;
    call.product = own.product + f * m_step(tiles);
    kernels_->multiply(call);
  }
}

// False if a value is not finite.
bool ConvWinogradInt16::transform_output(const float* product, int64_t first, int64_t tiles, int64_t block,
                                         int64_t blocks, const float* bias, MutableValues dest) const {
  const WinogradProblem& p = problem_;
  const int64_t plane = p.dest_h * p.dest_w * kBlock;
  WinogradTarget targets[kMaxTiles];
  grid_.targets(first, tiles, lane_blocks_, targets);
  bool finite = true;
  for (int64_t b = block; b < block + blocks; ++b) {
    const bool all = winograd_output(transforms_, rounded_, product + (b - block) * tiles * kBlock, m_step(tiles),
                                     bias ? bias + b * kBlock : nullptr, p.relu, p.lanes - b * kBlock, targets, tiles,
                                     dest + b * plane, grid_);
    if (!all) finite = false;
  }
  return finite;
}

bool ConvWinogradInt16::run_group(const RunContext& context, int64_t group, const float* u, const float* scales,
                                  const float* bias, const Tiles& own) const {
  const int64_t first = group * group_tiles_, tiles = std::min(group_tiles_, tiles_ - first);
  transform_input({context.inputs[0], problem_.source_type}, first, tiles, own);
  const MutableValues dest{context.outputs[0], problem_.dest_type};
  bool finite = true;
  for (int64_t block = 0; block < lane_blocks_; block += kRound) {
    const int64_t blocks = std::min(kRound, lane_blocks_ - block);
    multiply(own, u + block * u_step(), scales + block * frequencies_ * kBlock, tiles, blocks);
    if (!transform_output(own.product, first, tiles, block, blocks, bias, dest)) finite = false;
    if (context.epilogue) finish_tiles(grid_, first, tiles, block, blocks, group, *context.epilogue);
  }
  return finite;
}

Status ConvWinogradInt16::run(const RunContext& context) const {
  float* const workspace = reinterpret_cast<float*>(context.workspace);
  float *const u = workspace + lane_blocks_ * kBlock, *const scales = u + lane_blocks_ * u_step();
  float* const scratch = scales + scale_floats();
  const float* const bias = padded_bias(problem_, context, workspace);
  FOVEA_RETURN_IF_ERROR(for_tasks_of_threads(context, lane_blocks_, [&](int64_t block, int thread) {
    transform_filters(context.in<float>(1), block, filters(scratch + thread * own_floats()), u, scales);
  }));
  std::atomic<bool> finite{true};
  FOVEA_RETURN_IF_ERROR(for_tasks_of_threads(context, groups(), [&](int64_t group, int thread) {
    if (!run_group(context, group, u, scales, bias, tiles(scratch + thread * own_floats()))) finite = false;
  }));
  if (!finite && context.not_finite) context.not_finite->store(true, std::memory_order_relaxed);
  return {};
}

std::string ConvWinogradInt16::describe() const {
  return winograd_name(problem_, tile_) + " in int16: " + kernels_->name + ", tiles " + std::to_string(group_tiles_) +
         ", tasks " + std::to_string(groups());
}

}  // namespace

bool winograd_int16_possible(const OpSpec& spec) {
  return spec.precision == Precision::kMedium && int16_kernels() && !bf16_beats_winograd(spec.precision);
}

Status make_winograd_int16(const WinogradProblem& problem, int tile, int threads, std::unique_ptr<Operation> direct,
                           std::unique_ptr<Operation>* operation) {
  *operation =
      std::make_unique<Guarded>(std::make_unique<ConvWinogradInt16>(problem, tile, threads), std::move(direct));
  return {};
}

}  // namespace fovea
