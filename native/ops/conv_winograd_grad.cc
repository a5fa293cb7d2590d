#include "ops/conv_winograd_grad.h"

#include <algorithm>

#include "kernels/layout/layout.h"
#include "ops/conv_winograd.h"
#include "ops/guarded.h"
#include "ops/parallel.h"
#include "runtime/values.h"

namespace fovea {

namespace {

constexpr int64_t kMaxTiles = 128;  // of one chunk
constexpr int64_t kMostBlocks = 8;  // of channels, or filters, whose sums are made at once
// What V, U and M of a chunk may fill. A fifth more than a core's L2: each frequency is used once a chunk, in order,
// and longer chunks read and write M less often (measured on Zen 4: 64 tiles of 32 channels and 64 filters are best).
constexpr int64_t kCacheBytes = 1200 * 1024;
constexpr int64_t kAheadBytes = 256 * 1024;  // pixels of the next chunk that are fetched beside them
constexpr int64_t kPartBytes = 8 << 20;      // x and dy of a part, which all of its tasks read: they stay in L3
constexpr int64_t kTasks = 32;
constexpr double kLeastFlops = 2e7;  // of one task

// Cycles of one AVX-512 core (measured on Zen 4) for 16×16 channels and one tile, at one frequency: 16 multiply-adds
// and what the caches add; reading and writing 16 sums, once a chunk; transforming one pixel of V or U.
constexpr double kProduct = 17.5, kUpdate = 16 * 6.0, kTransform = 4.5;

struct Blocking {
  int64_t channels = 1, filters = 1, tiles = 1;  // blocks of channels and filters; tiles of one chunk
  double cycles = 0;                             // for 16×16 channels and one tile, at one frequency
};

// The channels, filters and tiles that fit L2 together and cost least.
Blocking choose_blocking(int64_t channels, int64_t filters, int64_t tiles, int64_t frequencies) {
  Blocking best;
  const int64_t cache = kCacheBytes / 4 / frequencies / kBlock;  // pixels of one frequency
  for (int64_t most_c = 1; most_c <= kMostBlocks; most_c *= 2) {
    for (int64_t most_f = 1; most_f <= kMostBlocks; most_f *= 2) {
      const int64_t c = even(channels, most_c), f = even(filters, most_f);
      const int64_t fitting = std::min(kMaxTiles, (cache - kBlock * c * f) / (c + f) / 8 * 8);
      if (fitting < 8) continue;
      const int64_t chunk = even(tiles, fitting);
      const double products = static_cast<double>(c * f);
      const double cycles = kProduct + kUpdate / static_cast<double>(chunk) +
                            kTransform * static_cast<double>(c + (chunk == tiles ? 0 : f)) / products;
      if (best.cycles == 0 || cycles < best.cycles) best = {c, f, chunk, cycles};
    }
  }
  return best;
}

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
  ConvWinogradGrad(const ConvGeometry& g, int tile, const WinogradGradTypes& types, bool bias, int threads);

  size_t workspace_bytes() const override;
  Status run(const RunContext& context) const override;
  std::string describe() const override;

 private:
  struct Task {
    int64_t channel, channels, filter, filters;  // blocks
    int64_t part, chunk, chunks;
  };
  struct Scratch {  // of one thread
    float *v, *u, *m, *taps;
  };
  // Floats from a frequency to the next: an odd number of cache lines, or all of them meet in the same few.
  static int64_t step(int64_t pixels) { return (pixels | 1) * kBlock; }
  int64_t frequencies() const { return transforms_.points * transforms_.points; }
  int64_t channel_splits() const { return ceil_div(channel_blocks_, task_channels_); }
  int64_t filter_splits() const { return ceil_div(filter_blocks_, filters_); }
  int64_t part_floats() const { return filter_blocks_ * channel_blocks_ * piece_floats(); }
  int64_t piece_floats() const { return kBlock * problem_.filter_floats(); }  // of 16 filters and 16 channels
  int64_t thread_floats() const { return v_floats_ + u_floats_ + m_floats_ + tap_floats_; }

  Task task(int64_t index) const;
  void transform_input(Values x, int64_t first, int64_t tiles, int64_t block, int64_t blocks, float* v) const;
  void transform_gradient(Values dy, int64_t first, int64_t tiles, int64_t block, int64_t blocks, float* u,
                          float* total) const;
  Ahead ahead(const RunContext& context, const Task& task, int64_t channel, int64_t channels, int64_t chunk) const;
  void multiply(const float* v, const float* u, int64_t tiles, int64_t channels, int64_t filters, bool accumulate,
                float* m, Ahead* ahead) const;
  // These return false if a value is not finite.
  bool run_task(const RunContext& context, const Task& task, const Scratch& scratch, float* parts, float* totals) const;
  bool finish_piece(const Task& task, int64_t channel, int64_t channels, const Scratch& scratch, float* parts,
                    float* dw) const;
  bool add_parts(const RunContext& context, float* parts, float* dw) const;
  bool add_totals(float* totals, float* db) const;
  void write(const float* taps, int64_t channel, int64_t channels, int64_t filter, float* dw) const;

  ConvGeometry g_;
  WinogradProblem problem_;
  int tile_;
  const WinogradKernels* kernels_;
  WinogradTransforms transforms_;
  WinogradGradTypes types_;
  const WinogradBf16Transforms* rounded_;  // for what lies in memory as bfloat16
  WinogradTiles grid_;
  bool bias_;
  int threads_;
  int64_t tiles_, channel_blocks_, filter_blocks_;
  int64_t channels_, filters_, chunk_tiles_, chunks_, sum_;  // Blocking; tiles of one sum
  int64_t task_channels_, parts_;
  int64_t v_floats_, u_floats_, m_floats_, tap_floats_;
};

ConvWinogradGrad::ConvWinogradGrad(const ConvGeometry& g, int tile, const WinogradGradTypes& types, bool bias,
                                   int threads)
    : g_(g),
      problem_(winograd_forward(g, false, false)),
      tile_(tile),
      kernels_(&winograd_kernels()),
      transforms_(winograd_transforms(problem_, tile)),
      types_(types),
      rounded_(winograd_bf16_transforms(problem_, tile)),
      grid_(winograd_tiles(problem_, tile)),
      bias_(bias),
      threads_(threads) {
  tiles_ = grid_.count();
  channel_blocks_ = blocks(g.c);
  filter_blocks_ = blocks(g.k);
  const Blocking blocking = choose_blocking(channel_blocks_, filter_blocks_, tiles_, frequencies());
  channels_ = blocking.channels;
  filters_ = blocking.filters;
  chunk_tiles_ = blocking.tiles;
  chunks_ = ceil_div(tiles_, chunk_tiles_);
  sum_ = sum_tiles(tile, g.stride_h, tiles_);

  // U of a single chunk serves all the channels of a task, piece by piece.
  const int64_t pieces = ceil_div(channel_blocks_, channels_);
  const int64_t wanted = std::clamp<int64_t>(static_cast<int64_t>(g.flops() / kLeastFlops), 1, kTasks);
  const int64_t splits = chunks_ > 1 ? pieces : std::min(pieces, ceil_div(wanted, filter_splits()));
  task_channels_ = ceil_div(pieces, splits) * channels_;
  const int64_t bytes = g.n * (g.c * g.h * g.w + g.k * g.p * g.q) * 4;
  const int64_t parts = std::max(ceil_div(wanted, filter_splits() * channel_splits()), bytes / kPartBytes);
  parts_ = std::clamp<int64_t>(parts, 1, chunks_);

  v_floats_ = frequencies() * step(channels_ * chunk_tiles_);
  u_floats_ = frequencies() * step(filters_ * chunk_tiles_);
  m_floats_ = frequencies() * step(filters_ * channels_ * kBlock);
  tap_floats_ = channels_ * piece_floats();
}

ConvWinogradGrad::Task ConvWinogradGrad::task(int64_t index) const {
  Task t;
  t.channel = index % channel_splits() * task_channels_, index /= channel_splits();
  t.channels = std::min(task_channels_, channel_blocks_ - t.channel);
  t.filter = index % filter_splits() * filters_, index /= filter_splits();
  t.filters = std::min(filters_, filter_blocks_ - t.filter);
  t.part = index;
  t.chunk = chunks_ * t.part / parts_;
  t.chunks = chunks_ * (t.part + 1) / parts_ - t.chunk;
  return t;
}

void ConvWinogradGrad::transform_input(Values x, int64_t first, int64_t tiles, int64_t block, int64_t blocks,
                                       float* v) const {
  WinogradWindow windows[kMaxTiles];
  grid_.windows(first, tiles, channel_blocks_, windows);
  for (int64_t b = 0; b < blocks; ++b) {
    winograd_input(transforms_, rounded_, x + (block + b) * g_.h * g_.w * kBlock, grid_, windows, tiles,
                   v + b * tiles * kBlock, step(blocks * tiles));
  }
}

void ConvWinogradGrad::transform_gradient(Values dy, int64_t first, int64_t tiles, int64_t block, int64_t blocks,
                                          float* u, float* total) const {
  WinogradTarget targets[kMaxTiles];
  grid_.targets(first, tiles, filter_blocks_, targets);
  for (int64_t b = 0; b < blocks; ++b) {
    const Values from = dy + (block + b) * g_.p * g_.q * kBlock;
    float* const to = u + b * tiles * kBlock;
    float* const sum = total ? total + (block + b) * kBlock : nullptr;
    const int64_t step = this->step(blocks * tiles);
    const WinogradPitch pitch = grid_.dest_pitch();
    if (from.half())
      rounded_->output_gradient(from.halves(), pitch, targets, static_cast<int>(tiles), to, step, sum);
    else
      transforms_.output_gradient(from.floats(), pitch, targets, static_cast<int>(tiles), to, step, sum);
  }
}

void ConvWinogradGrad::multiply(const float* v, const float* u, int64_t tiles, int64_t channels, int64_t filters,
                                bool accumulate, float* m, Ahead* ahead) const {
  WinogradGradMultiply call;
  call.v_block = call.u_block = tiles * kBlock;
  call.product_block = channels * kBlock * kBlock;
  call.channels = static_cast<int>(channels);
  const int64_t group = even(filters, kernels_->grad_blocks);
  ahead->share(frequencies());
  for (int64_t f = 0; f < frequencies(); ++f) {
    ahead->fetch();
    for (int64_t first = 0; first < tiles; first += sum_) {
      call.tiles = static_cast<int>(std::min(sum_, tiles - first));
      call.accumulate = accumulate || first > 0;
      for (int64_t filter = 0; filter < filters; filter += group) {
        call.filters = static_cast<int>(std::min(group, filters - filter));
        call.v = v + f * step(channels * tiles) + first * kBlock;
        call.u = u + f * step(filters * tiles) + (filter * tiles + first) * kBlock;
        call.product = m + f * step(filters * channels * kBlock) + filter * call.product_block;
        kernels_->multiply_gradient(call);
      }
    }
  }
}

// The pixels of another chunk of the task, where they leave room for V, U and M in L2.
Ahead ConvWinogradGrad::ahead(const RunContext& context, const Task& task, int64_t channel, int64_t channels,
                              int64_t chunk) const {
  Ahead ahead;
  const int64_t x_pixels = grid_.rows.source_step * grid_.columns.source_step;
  const int64_t dy_pixels = grid_.rows.outputs * grid_.columns.outputs;
  const int64_t bytes = chunk_tiles_ * (x_pixels * channels + dy_pixels * task.filters) * kBlock * 4;
  if (chunk >= task.chunk + task.chunks || bytes > kAheadBytes) return ahead;
  const int64_t first = chunk * chunk_tiles_, tiles = std::min(chunk_tiles_, tiles_ - first);
  grid_.ask_for_source(first, tiles, channel_blocks_, channel, channels, {context.inputs[0], types_.x}, &ahead);
  grid_.ask_for_dest(first, tiles, filter_blocks_, task.filter, task.filters, {context.inputs[1], types_.dy}, &ahead);
  return ahead;
}

bool ConvWinogradGrad::run_task(const RunContext& context, const Task& task, const Scratch& scratch, float* parts,
                                float* totals) const {
  bool finite = true;
  int64_t in_u = -1;  // the chunk that U holds
  for (int64_t channel = task.channel; channel < task.channel + task.channels; channel += channels_) {
    const int64_t channels = std::min(channels_, task.channel + task.channels - channel);
    for (int64_t chunk = task.chunk; chunk < task.chunk + task.chunks; ++chunk) {
      if (context.cancelled.load(std::memory_order_relaxed)) return true;
      const int64_t first = chunk * chunk_tiles_, tiles = std::min(chunk_tiles_, tiles_ - first);
      transform_input({context.inputs[0], types_.x}, first, tiles, channel, channels, scratch.v);
      if (chunk != in_u) {
        float* const total = bias_ && channel == 0 ? totals + task.part * filter_blocks_ * kBlock : nullptr;
        transform_gradient({context.inputs[1], types_.dy}, first, tiles, task.filter, task.filters, scratch.u, total);
        in_u = chunk;
      }
      Ahead next = ahead(context, task, channel, channels, chunk + 1);
      multiply(scratch.v, scratch.u, tiles, channels, task.filters, chunk > task.chunk, scratch.m, &next);
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
    float* const taps = parts_ == 1
                            ? scratch.taps
                            : parts + task.part * part_floats() + (block * channel_blocks_ + channel) * piece_floats();
    const bool all = transforms_.weight_gradient(
        scratch.m + filter * channels * kBlock * kBlock, step(task.filters * channels * kBlock),
        static_cast<int>(channels * kBlock), g_.flip ? taps + problem_.filter_floats() - kBlock : taps,
        g_.flip ? -kBlock : kBlock);
    if (!all) finite = false;
    if (parts_ == 1) write(taps, channel, channels, block, dw);
  }
  return finite;
}

// taps: [channel][taps²][16 filters], to dw: [filter][channel][taps²].
void ConvWinogradGrad::write(const float* taps, int64_t channel, int64_t channels, int64_t filter, float* dw) const {
  const int64_t first = channel * kBlock, count = std::min(channels * kBlock, g_.c - first);
  const int64_t filters = std::min<int64_t>(kBlock, g_.k - filter * kBlock);
  layout_kernels().from_blocked(taps, g_.c * g_.taps(), static_cast<int>(filters), count * g_.taps(),
                                dw + (filter * kBlock * g_.c + first) * g_.taps());
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
  context.pool.parallel_for(filter_blocks_ * channel_blocks_, [&](int64_t index, int) {
    float* const sum = parts + index * floats;
    if (!add_up(sum, floats, part_floats(), parts_)) finite = false;
    write(sum, index % channel_blocks_, 1, index / channel_blocks_, dw);
  });
  return finite;
}

bool ConvWinogradGrad::add_totals(float* totals, float* db) const {
  const int64_t lanes = filter_blocks_ * kBlock;
  const bool finite = add_up(totals, lanes, lanes, parts_);
  std::copy_n(totals, g_.k, db);
  return finite;
}

size_t ConvWinogradGrad::workspace_bytes() const {
  const int64_t totals = parts_ * filter_blocks_ * kBlock, partial = parts_ == 1 ? 0 : parts_ * part_floats();
  const int64_t floats = totals + partial + threads_ * thread_floats();
  return static_cast<size_t>(floats) * sizeof(float);
}

Status ConvWinogradGrad::run(const RunContext& context) const {
  const int64_t lanes = filter_blocks_ * kBlock;
  float* const totals = reinterpret_cast<float*>(context.workspace);
  float* const parts = totals + parts_ * lanes;
  float* const scratch = parts + (parts_ == 1 ? 0 : parts_ * part_floats());
  std::fill_n(totals, parts_ * lanes, 0.f);
  std::atomic<bool> finite{true};
  context.pool.parallel_for(parts_ * channel_splits() * filter_splits(), [&](int64_t index, int thread) {
    float* const own = scratch + thread * thread_floats();
    const Scratch mine{own, own + v_floats_, own + v_floats_ + u_floats_, own + thread_floats() - tap_floats_};
    if (!run_task(context, task(index), mine, parts, totals)) finite = false;
  });
  if (context.cancelled.load(std::memory_order_relaxed)) return {Code::kAborted, "cancelled"};
  if (parts_ > 1 && !add_parts(context, parts, context.out<float>(0))) finite = false;
  if (bias_ && !add_totals(totals, context.out<float>(1))) finite = false;
  if (!finite && context.not_finite) context.not_finite->store(true, std::memory_order_relaxed);
  return {};
}

std::string ConvWinogradGrad::describe() const {
  return winograd_name(problem_, tile_) + ": " + kernels_->name + ", tiles " + std::to_string(chunk_tiles_) +
         ", channels " + std::to_string(channels_ * kBlock) + ", filters " + std::to_string(filters_ * kBlock) +
         ", parts " + std::to_string(parts_) + ", tasks " + std::to_string(parts_ * channel_splits() * filter_splits());
}

}  // namespace

namespace {

double grad_cycles(const ConvGeometry& g, int tile) {
  const WinogradProblem problem = winograd_forward(g, false, false);
  const int64_t tiles = winograd_tiles(problem, tile).count(), points = winograd_transforms(problem, tile).points;
  const Blocking blocking = choose_blocking(blocks(g.c), blocks(g.k), tiles, points * points);
  return static_cast<double>(points * points * blocks(g.c) * blocks(g.k)) *
         (blocking.cycles * static_cast<double>(tiles) + 200);
}

}  // namespace

int winograd_grad_tile(const ConvGeometry& g) {
  if (g.stride_h == 2) return 4;
  return winograd_kernels().fused && grad_cycles(g, 4) <= grad_cycles(g, 2) ? 4 : 2;
}

bool winograd_grad_pays(const ConvGeometry& g) {
  const double direct = 18.0 * static_cast<double>(g.taps() * g.n * g.p * g.q * blocks(g.c) * blocks(g.k));
  return g.flops() >= kLeastWinogradFlops && grad_cycles(g, winograd_grad_tile(g)) < 0.9 * direct;
}

Status make_winograd_grad(const ConvGeometry& g, int tile, const WinogradGradTypes& types, bool bias, int threads,
                          std::unique_ptr<Operation> direct, std::unique_ptr<Operation>* operation) {
  *operation =
      std::make_unique<Guarded>(std::make_unique<ConvWinogradGrad>(g, tile, types, bias, threads), std::move(direct));
  return {};
}

}  // namespace fovea
