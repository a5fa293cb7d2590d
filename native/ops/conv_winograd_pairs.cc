#include "ops/conv_winograd_pairs.h"

#include <algorithm>
#include <cstring>

#include "kernels/bf16/bf16.h"
#include "kernels/brgemm/brgemm.h"
#include "ops/bf16_products.h"
#include "ops/conv_epilogue.h"
#include "ops/conv_pack.h"
#include "ops/guarded.h"
#include "ops/parallel.h"

namespace fovea {

namespace {

constexpr int kTile = 2, kFrequencies = 16;
constexpr int64_t kRound = 2;                // blocks of filters: the widest tiles of pairs that are as fast as any
constexpr int64_t kWords = kPairUnit / 2;    // of a pixel, or of one filter's rows, in a unit
constexpr int64_t kCacheBytes = 640 * 1024;  // of V and M: what L2 has beside the U that streams through it
constexpr int64_t kMaxTiles = 128;           // of one task
constexpr int64_t kEpilogueGroups = 4;       // for any number of threads
constexpr int64_t kChunkUnits = 2;           // of filters that are transformed at once
constexpr int64_t kChunkDepth = kChunkUnits * kPairUnit;

// Floats of so many lines of the cache, an odd number of them: powers of two meet in the same few.
constexpr int64_t odd_lines(int64_t lines) { return (lines | 1) * kBlock; }

class ConvWinogradPairs : public Operation {
 public:
  ConvWinogradPairs(const WinogradProblem& problem, int threads);

  size_t workspace_bytes() const override;
  Status run(const RunContext& context) const override;
  std::string describe() const override;
  int64_t epilogue_slots() const override { return grid_.dilated() ? 0 : groups(); }

 private:
  int64_t groups() const { return ceil_div(tiles_, group_tiles_); }
  int64_t v_step(int64_t tiles) const { return odd_lines(units_ * tiles); }  // from a frequency to the next
  static int64_t m_step(int64_t tiles) { return odd_lines(kRound * tiles); }
  int64_t u_step() const { return odd_lines(kFrequencies * units_ * kWords); }  // from a block of filters to the next

  void transform_weight(const float* weight, int64_t block, int64_t unit, float* taps, float* staged, float* u) const;
  void transform_input(Values source, int64_t first, int64_t tiles, float* v) const;
  void multiply(const float* v, const float* u, int64_t tiles, int64_t blocks, float* product) const;
  bool transform_output(const float* product, int64_t first, int64_t tiles, int64_t block, int64_t blocks,
                        const float* bias, MutableValues dest) const;
  bool run_group(const RunContext& context, int64_t group, const float* u, const float* bias, float* scratch) const;

  WinogradProblem problem_;
  const BrgemmKernels* kernels_;
  WinogradTransforms transforms_;
  const WinogradBf16Transforms* rounded_;  // for pixels that lie in memory as bfloat16
  int threads_;
  WinogradTiles grid_;
  int64_t tiles_, units_, depth_blocks_, lane_blocks_, group_tiles_;
  int64_t u_floats_, own_floats_;  // of all filters; of each thread
};

ConvWinogradPairs::ConvWinogradPairs(const WinogradProblem& problem, int threads)
    : problem_(problem),
      kernels_(brgemm_bf16_kernels()),
      transforms_(winograd_transforms(problem, kTile)),
      rounded_(winograd_bf16_transforms(problem, kTile)),
      threads_(threads),
      grid_(winograd_tiles(problem, kTile)) {
  tiles_ = grid_.count();
  units_ = ceil_div(problem.depth, kPairUnit);
  depth_blocks_ = blocks(problem.depth);
  lane_blocks_ = blocks(problem.lanes);
  const int64_t tile_bytes = kFrequencies * (units_ * kWords + kRound * kBlock) * 4;
  const int64_t fitting = std::clamp<int64_t>(kCacheBytes / tile_bytes, kBlock, kMaxTiles);
  // No bits depend on the number of groups, unless an epilogue sums over each of them.
  const int64_t multiple = problem.epilogue ? kEpilogueGroups : threads;
  group_tiles_ = ceil_div(tiles_, ceil_div(ceil_div(tiles_, fitting), multiple) * multiple);
  u_floats_ = lane_blocks_ * u_step();
  const int64_t weight_floats = kChunkDepth * 9 * kBlock + kFrequencies * odd_lines(kChunkDepth);
  own_floats_ = std::max(kFrequencies * (v_step(group_tiles_) + m_step(group_tiles_)), weight_floats);
}

size_t ConvWinogradPairs::workspace_bytes() const {
  return static_cast<size_t>(lane_blocks_ * kBlock + u_floats_ + threads_ * own_floats_) * sizeof(float);
}

// U of one block of filters, for kChunkUnits units from `unit` on.
void ConvWinogradPairs::transform_weight(const float* weight, int64_t block, int64_t unit, float* taps, float* staged,
                                         float* u) const {
  const int64_t rows = std::min(kChunkDepth, (units_ - unit) * kPairUnit), step = odd_lines(kChunkDepth);
  const int64_t depth = std::min(rows, problem_.depth - unit * kPairUnit);  // the others are zeros
  const float* const first_tap = winograd_taps(problem_, weight, block, unit * kPairUnit, depth, taps);
  transforms_.weight(first_tap, problem_.rotated ? -kBlock : kBlock, static_cast<int>(depth), staged, kBlock, step);
  for (int64_t f = 0; f < kFrequencies; ++f) {
    std::fill_n(staged + f * step + depth * kBlock, (rows - depth) * kBlock, 0.f);
    float* const to = u + block * u_step() + (f * units_ + unit) * kWords * kBlock;
    bf16_kernels()->rows(staged + f * step, rows / 2, 1, to, 0);
  }
}

// V of `tiles` tiles from `first` on.
void ConvWinogradPairs::transform_input(Values source, int64_t first, int64_t tiles, float* v) const {
  const int64_t plane = problem_.source_h * problem_.source_w * kBlock, step = 2 * v_step(tiles);
  const WinogradPairInput& input = winograd_bf16_kernels()->two_in_pairs;
  const WinogradPitch pitch = grid_.source_pitch();
  WinogradWindow windows[kMaxTiles];
  grid_.windows(first, tiles, depth_blocks_, windows);
  Bfloat16* const halves = reinterpret_cast<Bfloat16*>(v);
  for (int64_t block = 0; block < depth_blocks_; ++block) {
    const Values from = source + block * plane;
    Bfloat16* const to = halves + block / 2 * tiles * kPairUnit + block % 2 * kBlock;
    if (from.half())
      input.of_halves(from.halves(), pitch, windows, static_cast<int>(tiles), to, step);
    else
      input.of_floats(from.floats(), pitch, windows, static_cast<int>(tiles), to, step);
  }
  if (depth_blocks_ % 2 == 0) return;
  Bfloat16* const rest = halves + (units_ - 1) * tiles * kPairUnit + kBlock;  // the half of a unit that does not exist
  for (int64_t f = 0; f < kFrequencies; ++f) {
    for (int64_t tile = 0; tile < tiles; ++tile) std::fill_n(rest + f * step + tile * kPairUnit, kBlock, Bfloat16{});
  }
}

// One round of filters.
void ConvWinogradPairs::multiply(const float* v, const float* u, int64_t tiles, int64_t blocks, float* product) const {
  std::vector<BrgemmEntry> entries;
  for (int64_t unit = 0; unit < units_; ++unit) entries.push_back({unit * tiles * kWords, unit * kWords * kBlock});
  BrgemmCall call{};
  call.entries = entries.data();
  call.count = units_;
  call.depth = kWords;
  call.b_block = u_step();
  call.c_row = kBlock;
  call.c_block = tiles * kBlock;
  const int64_t parts = ceil_div(tiles, kernels_->rows[blocks - 1]);
  for (int64_t f = 0; f < kFrequencies; ++f) {
    call.b = u + f * units_ * kWords * kBlock;
    for (int64_t part = 0; part < parts; ++part) {
      const int64_t first = tiles * part / parts, end = tiles * (part + 1) / parts;
      call.a = v + f * v_step(tiles) + first * kWords;
      call.c = product + f * m_step(tiles) + first * kBlock;
      kernels_->at(BrgemmRows::kPixels, static_cast<int>(end - first), static_cast<int>(blocks))(call);
    }
  }
}

// False if a value is not finite.
bool ConvWinogradPairs::transform_output(const float* product, int64_t first, int64_t tiles, int64_t block,
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

bool ConvWinogradPairs::run_group(const RunContext& context, int64_t group, const float* u, const float* bias,
                                  float* scratch) const {
  const BrgemmScope scope(*kernels_);
  const int64_t first = group * group_tiles_, tiles = std::min(group_tiles_, tiles_ - first);
  float *const v = scratch, *const product = scratch + kFrequencies * v_step(group_tiles_);
  transform_input({context.inputs[0], problem_.source_type}, first, tiles, v);
  const MutableValues dest{context.outputs[0], problem_.dest_type};
  bool finite = true;
  for (int64_t block = 0; block < lane_blocks_; block += kRound) {
    const int64_t blocks = std::min(kRound, lane_blocks_ - block);
    multiply(v, u + block * u_step(), tiles, blocks, product);
    if (!transform_output(product, first, tiles, block, blocks, bias, dest)) finite = false;
    if (context.epilogue) finish_tiles(grid_, first, tiles, block, blocks, group, *context.epilogue);
  }
  return finite;
}

Status ConvWinogradPairs::run(const RunContext& context) const {
  float* const workspace = reinterpret_cast<float*>(context.workspace);
  float *const u = workspace + lane_blocks_ * kBlock, *const scratch = u + u_floats_;
  const float* const bias = padded_bias(problem_, context, workspace);
  const int64_t chunks = ceil_div(units_, kChunkUnits);
  FOVEA_RETURN_IF_ERROR(for_tasks_of_threads(context, lane_blocks_ * chunks, [&](int64_t index, int thread) {
    float* const taps = scratch + thread * own_floats_;
    transform_weight(context.in<float>(1), index / chunks, index % chunks * kChunkUnits, taps,
                     taps + kChunkDepth * 9 * kBlock, u);
  }));
  std::atomic<bool> finite{true};
  FOVEA_RETURN_IF_ERROR(for_tasks_of_threads(context, groups(), [&](int64_t group, int thread) {
    if (!run_group(context, group, u, bias, scratch + thread * own_floats_)) finite = false;
  }));
  if (!finite && context.not_finite) context.not_finite->store(true, std::memory_order_relaxed);
  return {};
}

std::string ConvWinogradPairs::describe() const {
  return winograd_name(problem_, kTile) + " in bf16: " + kernels_->name + ", tiles " + std::to_string(group_tiles_) +
         ", tasks " + std::to_string(groups());
}

}  // namespace

bool winograd_pairs_possible(const OpSpec& spec, const WinogradProblem& problem) {
  return spec.precision == Precision::kMedium && bf16_kernels() && !bf16_beats_winograd(spec.precision) &&
         problem.stride == 1 && problem.taps == 3;
}

Status make_winograd_pairs(const WinogradProblem& problem, int threads, std::unique_ptr<Operation> direct,
                           std::unique_ptr<Operation>* operation) {
  *operation = std::make_unique<Guarded>(std::make_unique<ConvWinogradPairs>(problem, threads), std::move(direct));
  return {};
}

}  // namespace fovea
