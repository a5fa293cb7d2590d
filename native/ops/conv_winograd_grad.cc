#include "ops/conv_winograd_grad.h"

#include <algorithm>

#include "kernels/int16/int16.h"
#include "kernels/layout/layout.h"
#include "ops/conv_winograd_grad_plan.h"
#include "ops/conv_winograd_problem.h"
#include "ops/guarded.h"
#include "ops/parallel.h"
#include "runtime/values.h"

namespace fovea {

namespace {

constexpr int64_t kPartBytes = 8 << 20;  // x and dy of a part, which all of its tasks read: they stay in L3
constexpr int64_t kTasks = 32;
constexpr double kLeastFlops = 2e7;  // of one task

// Tiles that are summed before they are added to the others: so few that the error of these sums stays within what the
// contract allows for all of them (winograd.h has the table; the tiles take the place of its channels). Sums of 32 and
// not more however many tiles there are: dy may be zero in all images but one, whose 32×32 pixels are 64 tiles, and
// their sums in one piece are beyond the contract for 1024 products (7.9e-7 of 7.1e-7; in pieces of 32, 6.1e-7).
int64_t sum_tiles(int tile, int64_t stride, int64_t tiles) {
  if (tile == 2 || stride == 2) return 64;
  return tiles < 128 ? 16 : 32;
}

class ConvWinogradGrad : public Operation {
 public:
  ConvWinogradGrad(const ConvGeometry& g, const WinogradGradWay& way, int threads);

  size_t workspace_bytes() const override;
  Status run(const RunContext& context) const override;
  std::string describe() const override;

 private:
  struct Task {
    int64_t index, group;
    int64_t channel, channels, filter, filters;  // blocks of the group
    int64_t part, chunk, chunks;
  };
  struct Operand {  // V or U of some blocks; the scales are those of integers
    float *values, *scales;
  };
  struct Scratch {  // of one thread
    Operand v, u;
    float *m, *taps, *stage;
  };
  // Floats from a frequency to the next: an odd number of cache lines, or all of them meet in the same few.
  static int64_t step(int64_t pixels) { return (pixels | 1) * kBlock; }
  int64_t frequencies() const { return transforms_.points * transforms_.points; }
  int64_t channel_splits() const { return ceil_div(channel_blocks_, task_channels_); }
  int64_t filter_splits() const { return ceil_div(filter_blocks_, filters_); }
  int64_t tasks() const { return problem_.groups * parts_ * channel_splits() * filter_splits(); }
  int64_t pieces() const { return problem_.groups * filter_blocks_ * channel_blocks_; }
  int64_t part_floats() const { return pieces() * piece_floats(); }
  int64_t total_floats() const { return problem_.dest_blocks() * kBlock; }    // of dy, in a part
  int64_t piece_floats() const { return kBlock * problem_.filter_floats(); }  // of 16 filters and 16 channels
  // Of 16-bit integers a word is a pair of tiles.
  int64_t pixels(int64_t tiles) const { return way_.int16 ? ceil_div(tiles, 2) : tiles; }
  int64_t operand_floats(int64_t blocks) const {
    return frequencies() * (step(blocks * pixels(chunk_tiles_)) + (way_.int16 ? blocks * kBlock : 0));
  }
  Operand operand(float* memory, int64_t blocks) const {
    return {memory, memory + frequencies() * step(blocks * pixels(chunk_tiles_))};
  }
  Scratch scratch(float* own) const;
  int64_t thread_floats() const {
    return apart(operand_floats(channels_) + operand_floats(filters_) + m_floats_ + tap_floats_ + stage_floats_);
  }

  Task task(int64_t index) const;
  Values input(const RunContext& context, const Task& task) const {
    return Values(context.inputs[0], way_.x) + task.group * problem_.source_floats();
  }
  Values gradient(const RunContext& context, const Task& task) const {
    return Values(context.inputs[1], way_.dy) + task.group * problem_.dest_floats();
  }
  void transform_input(Values x, int64_t first, int64_t tiles, int64_t block, int64_t blocks, float* stage,
                       const Operand& v) const;
  void transform_gradient(Values dy, int64_t first, int64_t tiles, int64_t block, int64_t blocks, float* stage,
                          const Operand& u, float* total) const;
  void round(const float* staged, const WinogradOrder& order, int64_t tiles, int64_t block, int64_t blocks,
             const Operand& to) const;
  void multiply(const Scratch& scratch, int64_t first, int64_t tiles, int64_t channels, int64_t filters,
                bool accumulate, Ahead* ahead) const;
  // At frequency f, `some` of the tiles.
  void multiply_floats(const Scratch& scratch, int64_t f, WinogradOrder::Range some, int64_t tiles, int64_t channels,
                       int64_t filter, int64_t filters, int64_t all_filters, bool accumulate, Ahead* ahead) const;
  void multiply_int16(const Scratch& scratch, int64_t f, WinogradOrder::Range some, int64_t tiles, int64_t channels,
                      int64_t filter, int64_t filters, int64_t all_filters, bool accumulate, Ahead* ahead) const;
  Ahead ahead(const RunContext& context, const Task& task, int64_t channel, int64_t chunk) const;
  // These return false if a value is not finite.
  bool run_task(const RunContext& context, const Task& task, const Scratch& scratch, float* parts, float* totals) const;
  bool finish_piece(const Task& task, int64_t channel, int64_t channels, const Scratch& scratch, float* parts,
                    float* dw) const;
  bool add_parts(const RunContext& context, float* parts, float* dw) const;
  bool add_totals(float* totals, float* db) const;
  void write(const float* taps, int64_t group, int64_t channel, int64_t channels, int64_t filter, float* dw) const;

  ConvGeometry g_;
  WinogradProblem problem_;
  WinogradGradWay way_;
  const WinogradKernels* kernels_;
  const Int16Kernels* int16_kernels_;
  WinogradTransforms transforms_;
  WinogradPixelTransforms pixel_transforms_;
  WinogradTiles grid_;
  int threads_;
  int64_t tiles_, channel_blocks_, filter_blocks_;
  int64_t channels_, filters_, chunk_tiles_, chunks_, sum_;  // WinogradGradBlocking; tiles of one sum
  int64_t task_channels_, parts_;
  int64_t m_floats_, tap_floats_, stage_floats_;
};

ConvWinogradGrad::ConvWinogradGrad(const ConvGeometry& g, const WinogradGradWay& way, int threads)
    : g_(g),
      problem_(winograd_forward(g, false, false)),
      way_(way),
      kernels_(&winograd_kernels()),
      int16_kernels_(int16_kernels()),
      transforms_(winograd_transforms(problem_, way.tile)),
      pixel_transforms_(winograd_pixels(problem_, way.tile)),
      grid_(winograd_tiles(problem_, way.tile)),
      threads_(threads) {
  tiles_ = grid_.count();
  channel_blocks_ = blocks(problem_.depth);
  filter_blocks_ = blocks(problem_.lanes);
  const WinogradGradBlocking blocking =
      winograd_grad_blocking(channel_blocks_, filter_blocks_, tiles_, frequencies(), way.int16);
  channels_ = blocking.channels;
  filters_ = blocking.filters;
  chunk_tiles_ = blocking.tiles;
  chunks_ = ceil_div(tiles_, chunk_tiles_);
  sum_ = sum_tiles(way.tile, g.stride_h, tiles_);

  // U of a single chunk serves all the channels of a task, piece by piece.
  const int64_t pieces = ceil_div(channel_blocks_, channels_);
  const int64_t wanted = std::clamp<int64_t>(static_cast<int64_t>(g.flops() / kLeastFlops), 1, kTasks);
  const int64_t splits = chunks_ > 1 ? pieces : std::min(pieces, ceil_div(wanted, g.groups * filter_splits()));
  task_channels_ = ceil_div(pieces, splits) * channels_;
  const int64_t bytes = g.n * (g.c_group() * g.h * g.w + g.k_group() * g.p * g.q) * 4;
  const int64_t parts = std::max(ceil_div(wanted, g.groups * filter_splits() * channel_splits()), bytes / kPartBytes);
  parts_ = std::clamp<int64_t>(parts, 1, chunks_);

  stage_floats_ = way.int16 ? frequencies() * step(chunk_tiles_) : 0;
  m_floats_ = frequencies() * step(filters_ * channels_ * kBlock);
  tap_floats_ = channels_ * piece_floats();
}

ConvWinogradGrad::Task ConvWinogradGrad::task(int64_t index) const {
  Task t;
  t.index = index;
  t.channel = index % channel_splits() * task_channels_, index /= channel_splits();
  t.channels = std::min(task_channels_, channel_blocks_ - t.channel);
  t.filter = index % filter_splits() * filters_, index /= filter_splits();
  t.filters = std::min(filters_, filter_blocks_ - t.filter);
  t.group = index % problem_.groups, index /= problem_.groups;
  t.part = index;
  t.chunk = chunks_ * t.part / parts_;
  t.chunks = chunks_ * (t.part + 1) / parts_ - t.chunk;
  return t;
}

ConvWinogradGrad::Scratch ConvWinogradGrad::scratch(float* own) const {
  Scratch s;
  s.v = operand(own, channels_), own += operand_floats(channels_);
  s.u = operand(own, filters_), own += operand_floats(filters_);
  s.m = own, s.taps = s.m + m_floats_, s.stage = s.taps + tap_floats_;
  return s;
}

// Block `block` of an operand from floats in tiles that are staged at all frequencies. Pairs are of neighbours among
// the tiles that have a frequency.
void ConvWinogradGrad::round(const float* staged, const WinogradOrder& order, int64_t tiles, int64_t block,
                             int64_t blocks, const Operand& to) const {
  for (int64_t f = 0; f < frequencies(); ++f) {
    const WinogradOrder::Range some = grid_.with_frequency(order, f);
    int16_kernels_->round_lanes(staged + f * step(tiles) + some.first * kBlock, some.count,
                                to.values + f * step(blocks * pixels(tiles)) + block * pixels(tiles) * kBlock,
                                to.scales + (f * blocks + block) * kBlock);
  }
}

void ConvWinogradGrad::transform_input(Values x, int64_t first, int64_t tiles, int64_t block, int64_t blocks,
                                       float* stage, const Operand& v) const {
  WinogradWindow windows[kMostGradTiles];
  grid_.windows(first, tiles, problem_.source_blocks(), {0, tiles}, windows);
  const WinogradOrder order = grid_.order(first, tiles);
  for (int64_t b = 0; b < blocks; ++b) {
    float* const to = way_.int16 ? stage : v.values + b * tiles * kBlock;
    pixel_transforms_.input(x + (block + b) * g_.h * g_.w * kBlock, order, windows, tiles, to,
                            step(way_.int16 ? tiles : blocks * tiles));
    if (way_.int16) round(to, order, tiles, b, blocks, v);
  }
}

void ConvWinogradGrad::transform_gradient(Values dy, int64_t first, int64_t tiles, int64_t block, int64_t blocks,
                                          float* stage, const Operand& u, float* total) const {
  WinogradTarget targets[kMostGradTiles];
  grid_.targets(first, tiles, problem_.dest_blocks(), targets);
  const int64_t step = this->step(way_.int16 ? tiles : blocks * tiles);
  const WinogradOrder order = grid_.order(first, tiles);
  for (int64_t b = 0; b < blocks; ++b) {
    const Values from = dy + (block + b) * g_.p * g_.q * kBlock;
    float* const to = way_.int16 ? stage : u.values + b * tiles * kBlock;
    float* const sum = total ? total + (block + b) * kBlock : nullptr;
    pixel_transforms_.output_gradient(from, order, targets, to, step, sum);
    if (way_.int16) round(to, order, tiles, b, blocks, u);
  }
}

void ConvWinogradGrad::multiply(const Scratch& scratch, int64_t first, int64_t tiles, int64_t channels, int64_t filters,
                                bool accumulate, Ahead* ahead) const {
  const WinogradOrder order = grid_.order(first, tiles);
  const int64_t group = even(filters, way_.int16 ? kInt16Blocks : kernels_->grad_blocks);
  for (int64_t f = 0; f < frequencies(); ++f) {
    const WinogradOrder::Range some = grid_.with_frequency(order, f);
    for (int64_t filter = 0; filter < filters; filter += group) {
      const int64_t count = std::min(group, filters - filter);
      if (way_.int16)
        multiply_int16(scratch, f, some, tiles, channels, filter, count, filters, accumulate, ahead);
      else
        multiply_floats(scratch, f, some, tiles, channels, filter, count, filters, accumulate, ahead);
    }
  }
}

void ConvWinogradGrad::multiply_floats(const Scratch& scratch, int64_t f, WinogradOrder::Range some, int64_t tiles,
                                       int64_t channels, int64_t filter, int64_t filters, int64_t all_filters,
                                       bool accumulate, Ahead* ahead) const {
  WinogradGradMultiply call;
  call.v_block = call.u_block = tiles * kBlock;
  call.product_block = channels * kBlock * kBlock;
  call.channels = static_cast<int>(channels);
  call.filters = static_cast<int>(filters);
  call.product = scratch.m + f * step(all_filters * channels * kBlock) + filter * call.product_block;
  int64_t at = 0;
  do {  // without tiles the sum is zero
    call.tiles = static_cast<int>(std::min(sum_, some.count - at));
    call.accumulate = accumulate || at > 0;
    call.v = scratch.v.values + f * step(channels * tiles) + (some.first + at) * kBlock;
    call.u = scratch.u.values + f * step(all_filters * tiles) + (filter * tiles + some.first + at) * kBlock;
    call.ahead = ahead->part();
    kernels_->multiply_gradient(call);
    at += sum_;
  } while (at < some.count);
}

// All tiles of a chunk are one sum: it is exact.
void ConvWinogradGrad::multiply_int16(const Scratch& scratch, int64_t f, WinogradOrder::Range some, int64_t tiles,
                                      int64_t channels, int64_t filter, int64_t filters, int64_t all_filters,
                                      bool accumulate, Ahead* ahead) const {
  const int64_t pairs = pixels(tiles);
  Int16GradMultiply call;
  call.v_block = call.u_block = pairs * kBlock;
  call.product_block = channels * kBlock * kBlock;
  call.pairs = static_cast<int>(pixels(some.count));
  call.channels = static_cast<int>(channels);
  call.filters = static_cast<int>(filters);
  call.accumulate = accumulate;
  call.ahead = ahead->part();
  call.v = scratch.v.values + f * step(channels * pairs);
  call.v_scale = scratch.v.scales + f * channels * kBlock;
  call.u = scratch.u.values + f * step(all_filters * pairs) + filter * pairs * kBlock;
  call.u_scale = scratch.u.scales + (f * all_filters + filter) * kBlock;
  call.product = scratch.m + f * step(all_filters * channels * kBlock) + filter * call.product_block;
  int16_kernels_->multiply_gradient(call);
}

// While a chunk's products are made: what is transformed next, be it of the next task. U of a single chunk stays.
Ahead ConvWinogradGrad::ahead(const RunContext& context, const Task& task, int64_t channel, int64_t chunk) const {
  Task next = task;
  if (++chunk == task.chunk + task.chunks) {
    channel += channels_;
    if (channel >= task.channel + task.channels && task.index + 1 < tasks())
      next = this->task(task.index + 1), channel = next.channel;
    chunk = next.chunk;
  }
  const bool needs_u = next.index != task.index || task.chunks > 1;
  Ahead ahead;
  const int64_t channels = std::min(channels_, next.channel + next.channels - channel);
  if (channels > 0) {
    const int64_t first = chunk * chunk_tiles_, tiles = std::min(chunk_tiles_, tiles_ - first);
    const Values x = input(context, next) + channel * g_.h * g_.w * kBlock;
    const Values dy = gradient(context, next) + next.filter * g_.p * g_.q * kBlock;
    grid_.add_sources(first, tiles, x, channels, problem_.source_blocks(), &ahead);
    if (needs_u) grid_.add_targets(first, tiles, dy, next.filters, problem_.dest_blocks(), &ahead);
  }
  const int64_t calls = ceil_div(task.filters, even(task.filters, way_.int16 ? kInt16Blocks : kernels_->grad_blocks));
  ahead.share(frequencies() * calls * (way_.int16 ? 1 : ceil_div(chunk_tiles_, sum_)));
  return ahead;
}

bool ConvWinogradGrad::run_task(const RunContext& context, const Task& task, const Scratch& scratch, float* parts,
                                float* totals) const {
  bool finite = true;
  const Values x = input(context, task), dy = gradient(context, task);
  float* const part_totals = totals + task.part * total_floats() + task.group * filter_blocks_ * kBlock;
  int64_t in_u = -1;  // the chunk that U holds
  for (int64_t channel = task.channel; channel < task.channel + task.channels; channel += channels_) {
    const int64_t channels = std::min(channels_, task.channel + task.channels - channel);
    for (int64_t chunk = task.chunk; chunk < task.chunk + task.chunks; ++chunk) {
      if (context.cancelled.load(std::memory_order_relaxed)) return true;
      const int64_t first = chunk * chunk_tiles_, tiles = std::min(chunk_tiles_, tiles_ - first);
      transform_input(x, first, tiles, channel, channels, scratch.stage, scratch.v);
      if (chunk != in_u) {
        float* const total = way_.bias && channel == 0 ? part_totals : nullptr;
        transform_gradient(dy, first, tiles, task.filter, task.filters, scratch.stage, scratch.u, total);
        in_u = chunk;
      }
      Ahead ahead = this->ahead(context, task, channel, chunk);
      multiply(scratch, first, tiles, channels, task.filters, chunk > task.chunk, &ahead);
    }
    if (!finish_piece(task, channel, channels, scratch, parts, context.out<float>(0))) finite = false;
  }
  return finite;
}

bool ConvWinogradGrad::finish_piece(const Task& task, int64_t channel, int64_t channels, const Scratch& scratch,
                                    float* parts, float* dw) const {
  bool finite = true;
  for (int64_t filter = 0; filter < task.filters; ++filter) {
    const int64_t block = task.filter + filter;
    const int64_t piece = (task.group * filter_blocks_ + block) * channel_blocks_ + channel;
    float* const taps = parts_ == 1 ? scratch.taps : parts + task.part * part_floats() + piece * piece_floats();
    const bool all = transforms_.weight_gradient(
        scratch.m + filter * channels * kBlock * kBlock, step(task.filters * channels * kBlock),
        static_cast<int>(channels * kBlock), g_.flip ? taps + problem_.filter_floats() - kBlock : taps,
        g_.flip ? -kBlock : kBlock);
    if (!all) finite = false;
    if (parts_ == 1) write(taps, task.group, channel, channels, block, dw);
  }
  return finite;
}

// taps: [channel][taps²][16 filters], to dw: [group][filter][channel][taps²].
void ConvWinogradGrad::write(const float* taps, int64_t group, int64_t channel, int64_t channels, int64_t filter,
                             float* dw) const {
  const int64_t all = problem_.depth, first = channel * kBlock, count = std::min(channels * kBlock, all - first);
  const int64_t filters = std::min<int64_t>(kBlock, problem_.lanes - filter * kBlock);
  layout_kernels().from_blocked(taps, all * g_.taps(), static_cast<int>(filters), count * g_.taps(),
                                dw + group * problem_.weight_floats() + (filter * kBlock * all + first) * g_.taps());
}

// sum[i] += the floats of the other parts, in order. False if a sum is not finite.
bool add_up(float* sum, int64_t floats, int64_t part_floats, int64_t parts) {
  for (int64_t part = 1; part < parts; ++part) {
    const float* const more = sum + part * part_floats;
    for (int64_t i = 0; i < floats; ++i) sum[i] += more[i];
  }
  float poison[kBlock] = {};  // 0 times a value that is not finite is NaN
  for (int64_t i = 0; i < floats; i += kBlock) {
    for (int64_t lane = 0; lane < kBlock; ++lane) poison[lane] += 0.f * sum[i + lane];
  }
  return std::all_of(poison, poison + kBlock, [](float value) { return value == 0; });
}

bool ConvWinogradGrad::add_parts(const RunContext& context, float* parts, float* dw) const {
  const int64_t floats = piece_floats();
  std::atomic<bool> finite{true};
  context.pool.parallel_for(pieces(), [&](int64_t index, int) {
    float* const sum = parts + index * floats;
    if (!add_up(sum, floats, part_floats(), parts_)) finite = false;
    const int64_t block = index / channel_blocks_;
    write(sum, block / filter_blocks_, index % channel_blocks_, 1, block % filter_blocks_, dw);
  });
  return finite;
}

bool ConvWinogradGrad::add_totals(float* totals, float* db) const {
  const bool finite = add_up(totals, total_floats(), total_floats(), parts_);
  std::copy_n(totals, g_.k, db);
  return finite;
}

size_t ConvWinogradGrad::workspace_bytes() const {
  const int64_t totals = parts_ * total_floats(), partial = parts_ == 1 ? 0 : parts_ * part_floats();
  const int64_t floats = totals + partial + threads_ * thread_floats();
  return static_cast<size_t>(floats) * sizeof(float);
}

Status ConvWinogradGrad::run(const RunContext& context) const {
  float* const totals = reinterpret_cast<float*>(context.workspace);
  float* const parts = totals + parts_ * total_floats();
  float* const scratch = parts + (parts_ == 1 ? 0 : parts_ * part_floats());
  std::fill_n(totals, parts_ * total_floats(), 0.f);
  std::atomic<bool> finite{true};
  context.pool.parallel_for(tasks(), [&](int64_t index, int thread) {
    const Scratch own = this->scratch(scratch + thread * thread_floats());
    if (!run_task(context, task(index), own, parts, totals)) finite = false;
  });
  if (context.cancelled.load(std::memory_order_relaxed)) return {Code::kAborted, "cancelled"};
  if (parts_ > 1 && !add_parts(context, parts, context.out<float>(0))) finite = false;
  if (way_.bias && !add_totals(totals, context.out<float>(1))) finite = false;
  if (!finite) report_not_finite(context);
  return {};
}

std::string ConvWinogradGrad::describe() const {
  return winograd_name(problem_, way_.tile) + (way_.int16 ? " in int16: " : ": ") +
         (way_.int16 ? int16_kernels_->name : kernels_->name) + ", tiles " + std::to_string(chunk_tiles_) +
         ", channels " + std::to_string(channels_ * kBlock) + ", filters " + std::to_string(filters_ * kBlock) +
         ", parts " + std::to_string(parts_) + ", tasks " + std::to_string(tasks());
}

}  // namespace

Status make_winograd_grad(const ConvGeometry& g, const WinogradGradWay& way, int threads,
                          std::unique_ptr<Operation> direct, std::unique_ptr<Operation>* operation) {
  *operation = std::make_unique<Guarded>(std::make_unique<ConvWinogradGrad>(g, way, threads), std::move(direct));
  return {};
}

}  // namespace fovea
