#include "ops/conv_winograd.h"

#include <algorithm>

#include "ops/conv_epilogue.h"
#include "ops/guarded.h"
#include "ops/kept_weight.h"
#include "ops/parallel.h"
#include "runtime/values.h"

namespace fovea {

namespace {

constexpr int64_t kMaxTiles = 128;            // of one task
constexpr int64_t kCacheBytes = 1024 * 1024;  // what V, M and U of a task may fill of a core's L2
constexpr int64_t kStreamTiles = 96;          // when U comes from beyond L2: enough work for each byte of it
constexpr int64_t kLeastTiles = 24;           // when it stays in L2
// Of a V that each thread transforms for itself: it takes a few microseconds, and so does fetching what another core
// has written, after waiting for it.
constexpr int64_t kOwnInputBytes = 160 * 1024;
constexpr int64_t kEpilogueGroups = 4;  // for any number of threads
constexpr int64_t kChunkBlocks = 4;     // channel blocks of filters transformed at once

class ConvWinograd : public Operation {
 public:
  ConvWinograd(const WinogradProblem& problem, int tile, int threads);

  size_t workspace_bytes() const override;
  Kept kept() const override { return kept_weight(problem_.keeps, prepared_floats()); }
  Status run(const RunContext& context) const override;
  std::string describe() const override;
  int64_t epilogue_slots() const override { return grid_.dilated() ? 0 : shared_input_ ? 1 : tile_groups(); }

 private:
  struct Task {
    int64_t group, tile, tiles, block, blocks;  // blocks of filters of the group
  };
  // How V, U and M of one task lie: floats from a frequency to the next. An odd number of cache lines, since powers of
  // two would put all frequencies of a tile into the same few lines of the cache.
  int64_t v_step(int64_t tiles, int64_t depth_blocks) const { return (depth_blocks * tiles | 1) * kBlock; }
  int64_t u_step(int64_t blocks, int64_t depth_blocks) const { return (depth_blocks * blocks * kBlock | 1) * kBlock; }
  int64_t frequencies() const { return transforms_.points * transforms_.points; }
  int64_t tile_groups() const { return ceil_div(tiles_, group_tiles_); }
  int64_t filter_groups() const { return ceil_div(lane_blocks_, group_blocks_); }

  Task task(int64_t group, int64_t tile_group, int64_t first_filter_group, int64_t filter_groups) const;
  void transform_input(Values source, const Task& task, float* v) const;
  void transform_weight(const float* weight, int64_t block, int64_t blocks, int64_t depth_block, int64_t depth_blocks,
                        float* taps, float* u, int64_t u_step) const;
  void multiply_tiles(const Task& task, const float* v, int64_t v_step, int64_t depth, const float* u, int64_t u_step,
                      bool accumulate, Ahead* ahead, float* product) const;
  Ahead ahead(const RunContext& context, const Task& task) const;
  bool transform_output(const float* product, const Task& task, const float* bias, MutableValues dest) const;
  Values source(const RunContext& context, int64_t group) const {
    return Values(context.inputs[0], problem_.source_type) + group * problem_.source_floats();
  }
  MutableValues dest(const RunContext& context, int64_t group) const {
    return MutableValues(context.outputs[0], problem_.dest_type) + group * problem_.dest_floats();
  }

  void finish_task(const Task& task, int64_t slot, const ConvEpilogue* epilogue) const;

  int64_t chunks() const { return ceil_div(depth_blocks_, chunk_blocks_); }
  bool owns_u() const { return shared_input_ && !problem_.keeps; }  // a thread, of one task and chunk at a time
  // The bias and the U that do not belong to a thread.
  int64_t prepared_floats() const {
    const int64_t u = shared_input_ ? filter_groups() * chunks() * u_floats_ : problem_.groups * u_floats_;
    return bias_floats() + (owns_u() ? 0 : u);
  }
  int64_t bias_floats() const { return problem_.dest_blocks() * kBlock; }
  int64_t own_floats() const { return apart(v_floats_ + (owns_u() ? u_floats_ : 0) + m_floats_ + tap_floats_); }

  // False if a value is not finite.
  bool run_with_shared_weight(const RunContext& context, const float* bias, float* u, float* scratch) const;
  bool run_with_shared_input(const RunContext& context, const float* bias, float* u, float* workspace) const;

  WinogradProblem problem_;
  const WinogradKernels* kernels_;
  int tile_;
  WinogradTransforms transforms_;
  WinogradPixelTransforms pixels_;
  int threads_;
  WinogradTiles grid_;
  int64_t tiles_, depth_blocks_, lane_blocks_;
  int64_t group_tiles_ = 1, group_blocks_ = 1, chunk_blocks_ = 1, sum_ = 1;
  bool shared_input_ = false;
  bool own_input_ = false;  // of which each thread transforms all for itself
  bool in_place_ = false;   // M takes the place of V: of one block of channels each row is read before it is written
  // In floats: V for all threads, and what each has for itself; U of a group's filters or, with V shared, of one task
  // and chunk.
  int64_t shared_v_floats_ = 0, v_floats_ = 0, m_floats_ = 0, tap_floats_ = 0, u_floats_ = 0;
};

// Blocks of 16 channels that are summed before they are added to the others: as many as the table in winograd.h allows
// with a tenth to spare.
int64_t sum_blocks(const WinogradProblem& p, int tile) {
  if (p.taps == 3 && (tile == 2 || p.stride == 2)) return 4;
  return p.depth < 128 ? 1 : p.depth < 256 ? 2 : 4;
}

ConvWinograd::ConvWinograd(const WinogradProblem& problem, int tile, int threads)
    : problem_(problem),
      kernels_(&winograd_kernels()),
      tile_(tile),
      transforms_(winograd_transforms(problem, tile)),
      pixels_(winograd_pixels(problem, tile)),
      threads_(threads),
      grid_(winograd_tiles(problem, tile)) {
  tiles_ = grid_.count();
  depth_blocks_ = blocks(problem.depth);
  lane_blocks_ = blocks(problem.lanes);
  sum_ = sum_blocks(problem, tile);
  const bool few = sum_ == 1 && depth_blocks_ > 1;
  const int64_t rows = few ? kernels_->few_rows : kernels_->rows;
  group_blocks_ = even(lane_blocks_, few ? kernels_->few_blocks : kernels_->blocks);

  // U is larger than V when there are more filters than tiles; then no task should need all of it.
  shared_input_ = problem.groups == 1 && tiles_ <= kMaxTiles && tiles_ < problem.lanes;
  const int64_t pixel_bytes = frequencies() * kBlock * 4, u_bytes = pixel_bytes * kBlock * depth_blocks_ * lane_blocks_;
  const bool u_stays = u_bytes <= kCacheBytes * 2 / 3;
  // The pixels of a tile are in L2 as well, those of the next task before their time.
  const int64_t source_bytes = grid_.rows.source_step * grid_.columns.source_step * kBlock * 4;
  const int64_t dest_bytes = grid_.rows.outputs * grid_.columns.outputs * kBlock * 4;
  const int64_t tile_bytes = (pixel_bytes + source_bytes) * depth_blocks_ + (pixel_bytes + dest_bytes) * lane_blocks_;
  const int64_t fitting = (kCacheBytes - u_bytes) / tile_bytes / rows * rows;
  const int64_t wanted = u_stays ? std::clamp(fitting, ceil_div(kLeastTiles, rows) * rows, kMaxTiles) : kStreamTiles;
  // No bits depend on the number of groups, unless an epilogue sums over each of them.
  const int64_t multiple = problem.epilogue ? kEpilogueGroups : threads;
  const int64_t groups = ceil_div(ceil_div(tiles_, wanted), multiple) * multiple;
  group_tiles_ = shared_input_ ? tiles_ : ceil_div(tiles_, groups);
  chunk_blocks_ = std::min(depth_blocks_, kChunkBlocks);

  m_floats_ = frequencies() * v_step(group_tiles_, shared_input_ ? group_blocks_ : lane_blocks_);
  tap_floats_ = chunk_blocks_ * kBlock * problem.filter_floats();
  if (shared_input_) {
    const int64_t v_floats = chunks() * frequencies() * v_step(group_tiles_, chunk_blocks_);
    own_input_ = v_floats * 4 <= kOwnInputBytes;
    (own_input_ ? v_floats_ : shared_v_floats_) = v_floats;
    u_floats_ = frequencies() * u_step(group_blocks_, chunk_blocks_);
  } else {
    u_floats_ = frequencies() * u_step(lane_blocks_, depth_blocks_);
    v_floats_ = frequencies() * v_step(group_tiles_, depth_blocks_);
    in_place_ = depth_blocks_ == 1 && lane_blocks_ == 1;
    if (in_place_) m_floats_ = 0;
  }
}

ConvWinograd::Task ConvWinograd::task(int64_t group, int64_t tile_group, int64_t first_filter_group,
                                      int64_t filter_groups) const {
  Task t;
  t.group = group;
  t.tile = tile_group * group_tiles_;
  t.tiles = std::min(group_tiles_, tiles_ - t.tile);
  t.block = first_filter_group * group_blocks_;
  t.blocks = std::min(filter_groups * group_blocks_, lane_blocks_ - t.block);
  return t;
}

// V of the depth blocks [task.block, task.block + task.blocks).
void ConvWinograd::transform_input(Values source, const Task& task, float* v) const {
  const int64_t plane = problem_.source_h * problem_.source_w * kBlock;
  WinogradWindow windows[kMaxTiles];
  grid_.windows(task.tile, task.tiles, problem_.source_blocks(), {0, task.tiles}, windows);
  const WinogradOrder order = grid_.order(task.tile, task.tiles);
  for (int64_t block = 0; block < task.blocks; ++block) {
    pixels_.input(source + (task.block + block) * plane, order, windows, task.tiles, v + block * task.tiles * kBlock,
                  v_step(task.tiles, task.blocks));
  }
}

// U of one group of filters and some blocks of their depth. `taps`: [depth][taps²][16], filters in the lanes.
void ConvWinograd::transform_weight(const float* weight, int64_t block, int64_t blocks, int64_t depth_block,
                                    int64_t depth_blocks, float* taps, float* u, int64_t u_step) const {
  const int64_t first = depth_block * kBlock, depth = std::min(depth_blocks * kBlock, problem_.depth - first);
  for (int64_t b = 0; b < blocks; ++b) {
    transforms_.weight(winograd_taps(problem_, weight, block + b, first, depth, taps),
                       problem_.rotated ? -kBlock : kBlock, static_cast<int>(depth), u + b * kBlock, blocks * kBlock,
                       u_step);
  }
}

void ConvWinograd::multiply_tiles(const Task& task, const float* v, int64_t v_step, int64_t depth, const float* u,
                                  int64_t u_step, bool accumulate, Ahead* ahead, float* product) const {
  const int64_t tiles = task.tiles, blocks = task.blocks;
  const WinogradOrder order = grid_.order(task.tile, tiles);
  WinogradMultiply call;
  call.v_block = call.product_block = tiles * kBlock;
  call.depth = static_cast<int>(depth);
  call.sum = static_cast<int>(sum_);
  call.accumulate = accumulate;
  const int64_t m_step = this->v_step(tiles, blocks), block_floats = fovea::blocks(depth) * kBlock * kBlock;
  for (int64_t f = 0; f < frequencies(); ++f) {
    const WinogradOrder::Range some = grid_.with_frequency(order, f);
    if (some.count == 0) continue;
    call.tiles = static_cast<int>(some.count);
    call.v = v + f * v_step + some.first * kBlock;
    for (int64_t block = 0; block < blocks; block += group_blocks_) {
      call.blocks = static_cast<int>(std::min(group_blocks_, blocks - block));
      call.u = u + f * u_step + block * block_floats;
      call.product = product + f * m_step + (block * tiles + some.first) * kBlock;
      if (ahead) call.ahead = ahead->part();
      kernels_->multiply(call);
    }
  }
}

// While a task multiplies: what it will write, what its epilogue reads, and what the next task begins with.
Ahead ConvWinograd::ahead(const RunContext& context, const Task& task) const {
  Ahead ahead;
  const int64_t block = task.group * lane_blocks_, next = task.tile + task.tiles;
  add_outputs(problem_, grid_, task.tile, task.tiles, block, lane_blocks_, context, &ahead);
  grid_.add_sources(next, std::min(group_tiles_, tiles_ - next), source(context, task.group), depth_blocks_,
                    problem_.source_blocks(), &ahead);
  ahead.share(frequencies() * filter_groups());
  return ahead;
}

bool ConvWinograd::transform_output(const float* product, const Task& task, const float* bias,
                                    MutableValues dest) const {
  const WinogradProblem& p = problem_;
  const int64_t plane = p.dest_h * p.dest_w * kBlock;
  WinogradTarget targets[kMaxTiles];
  grid_.targets(task.tile, task.tiles, problem_.dest_blocks(), targets);
  const WinogradOrder order = grid_.order(task.tile, task.tiles);
  bool finite = true;
  for (int64_t b = 0; b < task.blocks; ++b) {
    const int64_t block = task.block + b;
    const bool all = pixels_.output(product + b * task.tiles * kBlock, v_step(task.tiles, task.blocks),
                                    bias ? bias + block * kBlock : nullptr, p.relu, p.lanes - block * kBlock, order,
                                    targets, dest + block * plane);
    if (!all) finite = false;
  }
  return finite;
}

void ConvWinograd::finish_task(const Task& task, int64_t slot, const ConvEpilogue* epilogue) const {
  const int64_t block = task.group * lane_blocks_ + task.block;
  if (epilogue) finish_tiles(grid_, task.tile, task.tiles, block, task.blocks, slot, *epilogue);
}

// Many tiles: U first, then each task goes from its input pixels to its output pixels within a core's L2.
bool ConvWinograd::run_with_shared_weight(const RunContext& context, const float* bias, float* u,
                                          float* scratch) const {
  const int64_t own = own_floats(), step = u_step(lane_blocks_, depth_blocks_);
  const auto cancelled = [&] { return context.cancelled.load(std::memory_order_relaxed); };
  std::atomic<bool> finite{true};
  const int64_t pieces = filter_groups() * chunks();
  context.pool.parallel_for(context.holds ? 0 : problem_.groups * pieces, [&](int64_t index, int thread) {
    if (cancelled()) return;
    const Task t = task(index / pieces, 0, index % pieces / chunks(), 1);
    const int64_t first = index % chunks() * chunk_blocks_, count = std::min(chunk_blocks_, depth_blocks_ - first);
    float* const taps = scratch + thread * own;
    transform_weight(context.in<float>(1) + t.group * problem_.weight_floats(), t.block, t.blocks, first, count, taps,
                     u + t.group * u_floats_ + (t.block * depth_blocks_ + first * t.blocks) * kBlock * kBlock, step);
  });
  context.pool.parallel_for(problem_.groups * tile_groups(), [&](int64_t index, int thread) {
    if (cancelled()) return;
    float *const v = scratch + thread * own, *const product = in_place_ ? v : v + v_floats_;
    const int64_t slot = index % tile_groups();
    const Task t = task(index / tile_groups(), slot, 0, filter_groups());
    transform_input(source(context, t.group), {t.group, t.tile, t.tiles, 0, depth_blocks_}, v);
    Ahead ahead = this->ahead(context, t);
    multiply_tiles(t, v, v_step(t.tiles, depth_blocks_), problem_.depth, u + t.group * u_floats_, step, false, &ahead,
                   product);
    const float* const shift = bias ? bias + t.group * lane_blocks_ * kBlock : nullptr;
    if (!transform_output(product, t, shift, dest(context, t.group))) finite = false;
    finish_task(t, slot, context.epilogue);
  });
  return finite;
}

// More filters than tiles: V first, then each task transforms filters that no other task needs.
bool ConvWinograd::run_with_shared_input(const RunContext& context, const float* bias, float* u,
                                         float* workspace) const {
  float* const scratch = workspace + shared_v_floats_;
  const int64_t own = own_floats(), chunks = this->chunks();
  const int64_t chunk_floats = frequencies() * v_step(tiles_, chunk_blocks_);
  const auto cancelled = [&] { return context.cancelled.load(std::memory_order_relaxed); };
  std::atomic<bool> finite{true};
  const auto count = [&](int64_t chunk) { return std::min(chunk_blocks_, depth_blocks_ - chunk * chunk_blocks_); };
  const auto transform_chunk = [&](int64_t chunk, float* v) {
    transform_input(source(context, 0), {0, 0, tiles_, chunk * chunk_blocks_, count(chunk)}, v + chunk * chunk_floats);
  };
  if (!own_input_) {
    context.pool.parallel_for(chunks, [&](int64_t chunk, int) {
      if (!cancelled()) transform_chunk(chunk, workspace);
    });
  }
  std::vector<char> transformed(static_cast<size_t>(threads_), 0);  // each thread looks at its own
  context.pool.parallel_for(filter_groups(), [&](int64_t filters, int thread) {
    if (cancelled()) return;
    float *const mine = scratch + thread * own, *const v = own_input_ ? mine : workspace;
    float *const product = mine + v_floats_, *const taps = product + m_floats_, *const own_u = taps + tap_floats_;
    if (own_input_ && !transformed[static_cast<size_t>(thread)]) {
      for (int64_t chunk = 0; chunk < chunks; ++chunk) transform_chunk(chunk, v);
      transformed[static_cast<size_t>(thread)] = 1;
    }
    const Task t = task(0, 0, filters, 1);
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
      const int64_t step = u_step(t.blocks, count(chunk));
      float* const some = owns_u() ? own_u : u + (filters * chunks + chunk) * u_floats_;
      if (!context.holds)
        transform_weight(context.in<float>(1), t.block, t.blocks, chunk * chunk_blocks_, count(chunk), taps, some,
                         step);
      const int64_t depth = std::min(chunk_blocks_ * kBlock, problem_.depth - chunk * chunk_blocks_ * kBlock);
      multiply_tiles(t, v + chunk * chunk_floats, v_step(tiles_, count(chunk)), depth, some, step, chunk > 0, nullptr,
                     product);
    }
    if (!transform_output(product, t, bias, dest(context, 0))) finite = false;
    finish_task(t, 0, context.epilogue);
  });
  return finite;
}

size_t ConvWinograd::workspace_bytes() const {
  const int64_t floats = (problem_.keeps ? 0 : prepared_floats()) + shared_v_floats_ + threads_ * own_floats();
  return static_cast<size_t>(floats) * sizeof(float);
}

Status ConvWinograd::run(const RunContext& context) const {
  const WeightMemory memory = weight_memory(context, context.workspace, problem_.keeps, prepared_floats());
  const float* const bias = padded_bias(problem_, context, memory.made);
  float* const u = memory.made + bias_floats();
  const bool finite = shared_input_ ? run_with_shared_input(context, bias, u, memory.rest)
                                    : run_with_shared_weight(context, bias, u, memory.rest);
  if (!finite) report_not_finite(context);
  return context.cancelled.load(std::memory_order_relaxed) ? Status(Code::kAborted, "cancelled") : Status();
}

std::string ConvWinograd::describe() const {
  return winograd_name(problem_, tile_) + ": " + kernels_->name + ", tiles " + std::to_string(group_tiles_) +
         ", channels " + std::to_string(sum_ * kBlock) + " a sum, " + (shared_input_ ? "input" : "filters") +
         " transformed first, tasks " +
         std::to_string(shared_input_ ? filter_groups() : problem_.groups * tile_groups()) + ", estimated at " +
         std::to_string(static_cast<int>(winograd_share(problem_, tile_) * 100)) + " % of brgemm's time";
}

}  // namespace

Status make_winograd(const WinogradProblem& problem, int tile, int threads, std::unique_ptr<Operation> direct,
                     std::unique_ptr<Operation>* operation) {
  *operation = std::make_unique<Guarded>(std::make_unique<ConvWinograd>(problem, tile, threads), std::move(direct));
  return {};
}

}  // namespace fovea
