#include "ops/conv_grad_stream.h"

#include <algorithm>

#include "kernels/bf16/bf16.h"
#include "ops/bf16_products.h"
#include "ops/parallel.h"
#include "ops/tile_choice.h"

namespace fovea {

namespace {

constexpr int64_t kSumBytes = 256 * 1024;  // of one task: a quarter of L2, read and written once a chunk
// That are added up in one sum when it has to be as exact as float32: over 1024 pixels the error was 7.9e-7,
// with 7.1e-7 allowed.
constexpr int64_t kSumPixels = 384;
constexpr int64_t kTasks = 16;
constexpr double kLeastFlops = 4e6;
constexpr int64_t kMostParts = 32;               // where a part is so much work that
constexpr double kPartFlops = 1.5e8;             // writing and adding its sums is a few percent of it
constexpr int64_t kPairSumBytes = 512 * 1024;    // of pairs: half of L2, packed channels have the rest
constexpr int64_t kPairChunkBytes = 256 * 1024;  // of packed channels: the next chunk's are asked for beside them
constexpr double kPartShare = 0.03;  // of the time of one part, in cycles for each sum that another one adds
constexpr float kOnes[1] = {1};

// Whether the windows of the taps are runs of the source itself. With a stride they would use half of each cache set
// and read every line once for each tile: 1x1 with stride 2 took 1.7 times as long as with a copy.
bool readable_in_place(const Axis& axis) {
  return axis.step() == 1 && (axis.mode == PaddingMode::kZeros || axis.direct());
}

// Parts decide bits, so they are alike for any number of threads: fifteen leave one of two threads idle for a
// sixteenth.
int64_t for_any_threads(int64_t parts) { return parts > 2 ? round_up(parts, 4) : parts; }

const AxisTap& tap_of(const Axis& axis, int64_t tap) { return axis.phases[0].taps[static_cast<size_t>(tap)]; }

}  // namespace

Status ConvGradStream::plan(const GradProblem& problem, int threads, ConvGradStream* stream) {
  ConvGradStream& s = *stream;
  s.problem_ = problem;
  s.kernels_ = problem.planes > 0 ? brgemm_bf16_kernels() : &brgemm_kernels();
  s.threads_ = threads;
  s.lanes_ = problem.planar ? 1 : kBlock;
  s.kind_ = problem.planar ? BrgemmRows::kList : problem.planes > 0 ? BrgemmRows::kRows : BrgemmRows::kChannels;
  s.units_ = ceil_div(problem.weight.depth, s.lanes_);
  s.blocks_ = blocks(problem.weight.lanes);
  s.taps_ = static_cast<int64_t>(problem.tap_offsets.size());
  s.unit_rows_ = s.taps_ * s.lanes_;
  s.tap_task_ = s.taps_;
  s.source_unit_floats_ = problem.rows.source * problem.columns.source * s.lanes_;
  s.direct_ = problem.planes == 0 && problem.x_type == DType::kFloat32 &&
              (problem.planar ? problem.rows.inside() && problem.columns.inside()
                              : readable_in_place(problem.rows) && readable_in_place(problem.columns));
  const double row = static_cast<double>(problem.columns.classes.size()) *
                     static_cast<double>(problem.rows.classes.size()) * static_cast<double>(1 + problem.rows.extra()) *
                     static_cast<double>(problem.columns.length()) * 64.0;
  const double sums =
      static_cast<double>(s.units_) * static_cast<double>(s.unit_rows_) * static_cast<double>(s.blocks_) * 64.0;
  constexpr double kMost = 1ll << 40;
  if (row > kMost || sums * static_cast<double>(problem.groups) > kMost) {
    return {Code::kMemory, "convolution workspace would exceed 1 TiB"};
  }
  const int64_t rows = problem.planar ? s.taps_ : std::min<int64_t>(kBlock, problem.weight.depth);
  // Of vectors of pairs two blocks: their 64 bytes for each pixel and block of dy then serve so many channels from L1
  // and L2.
  const bool pairs = problem.planes > 0 && s.kernels_->tile_rows == 1, parts = problem.weight.parts > 1;
  const int wanted = problem.tile_blocks > 0 ? problem.tile_blocks : parts ? 1 : pairs ? 2 : 0;
  s.step_ = choose_tiles(*s.kernels_, rows, s.blocks_, 128, wanted).nb;
  s.choose_blocking();
  s.pack_ = PackedBand(problem.rows, problem.columns, s.lanes_, s.band_, s.pair_rows() ? 2 : 1);
  s.unit_floats_ = s.direct_ ? s.source_unit_floats_ : s.pack_.floats();
  s.pitch_ = s.direct_ ? problem.rows.step() * problem.columns.source : s.pack_.pitch();
  s.packed_floats_ = s.direct_ ? 0 : ceil_div(s.chunk_images_ * s.unit_task_ * s.unit_floats_, 16) * 16;
  if (problem.planes > 0) {
    const int64_t pixels = s.kernels_->tile_rows > 1 ? kPairUnit : 2;  // a tile of AMX is 16 pairs deep
    s.pairs_ = PixelPairs(s.pack_, s.band_, problem.columns.outputs(), problem.planes, pixels);
    s.packed_floats_ = s.chunk_images_ * (s.unit_task_ * s.pairs_.x_words() + s.step_ * s.pairs_.dy_words()) +
                       s.pairs_.scratch_floats();
  }
  if (problem.dy_type == DType::kBfloat16 && (problem.planes == 0 || problem.bias))
    s.wide_floats_ = s.chunk_images_ * s.block_task_ * s.band_ * problem.columns.outputs() * kBlock;
  s.make_windows();
  s.make_rows();
  return {};
}

void ConvGradStream::choose_blocking() {
  const int64_t step = step_;
  // Of dy, that stay in L1: two pixels to a word of pairs.
  const int64_t fitting = panel_bytes(*kernels_) / (step * kBlock * 4);
  const int64_t most = problem_.planes == 0 ? kSumPixels : problem_.planes == kMaxPlanes ? kSumPixels / 6 : fitting * 2;
  const int64_t pixels = std::clamp<int64_t>(problem_.planes > 0 ? 2 * fitting / problem_.planes : fitting, 32,
                                             std::max<int64_t>(32, most));
  cut_pixels(pixels);
  if (problem_.planes > 0) return choose_pair_tasks(pixels);
  // As many sums as fit: every chunk of x and dy that was fetched then serves many products.
  unit_task_ = units_;
  block_task_ = ceil_div(blocks_, step) * step;
  const auto sum_bytes = [&] { return unit_task_ * unit_rows_ * block_task_ * kBlock * 4; };
  while (sum_bytes() > kSumBytes && (unit_task_ > 1 || block_task_ > step)) {
    // Channels that are packed should serve many filters; otherwise the squarest product moves the least.
    const bool fewer_units = direct_ ? unit_task_ * lanes_ > block_task_ * kBlock : unit_task_ * lanes_ > kBlock;
    if ((fewer_units && unit_task_ > 1) || block_task_ <= step)
      unit_task_ = ceil_div(unit_task_, 2);
    else
      block_task_ = ceil_div(block_task_ / step, 2) * step;
  }
  unit_task_ = even(units_, unit_task_);
  const int64_t wanted = times(std::min(kTasks, static_cast<int64_t>(problem_.flops / kLeastFlops)), problem_.cut);
  const int64_t more = std::min(kMostParts, static_cast<int64_t>(problem_.flops / kPartFlops));
  parts_ = std::clamp<int64_t>(for_any_threads(ceil_div(std::max(wanted, more), splits())), 1, chunks_);
  cut_for_threads();
}

// Chunks of at most so many pixels, or of one row.
void ConvGradStream::cut_pixels(int64_t pixels) {
  const int64_t columns = problem_.columns.outputs(), rows = problem_.rows.outputs();
  band_ = even(rows, std::min(rows, std::max<int64_t>(1, pixels / columns)));
  bands_ = ceil_div(rows, band_);
  chunk_images_ = bands_ == 1 ? std::min(problem_.images, std::max<int64_t>(1, pixels / (rows * columns))) : 1;
  chunk_images_ = even(problem_.images, chunk_images_);
  chunks_ = ceil_div(problem_.images, chunk_images_) * bands_;
}

// The same for pairs, of which both operands are packed by every task that needs them: the channels and filters that
// take the least time on one thread, and as many parts as cost a few percent.
void ConvGradStream::choose_pair_tasks(int64_t pixels) {
  const int64_t steps = ceil_div(blocks_, step_);
  double best = 0;
  for (int64_t unit = units_;; unit = even(units_, unit - 1)) {
    for (int64_t step = steps;; step = even(steps, step - 1)) {
      const int64_t block = step * step_;
      const bool fits = unit * unit_rows_ * block * kBlock * 4 <= kPairSumBytes || (unit == 1 && step == 1);
      const double time = static_cast<double>(ceil_div(units_, unit) * ceil_div(blocks_, block)) *
                          task_cycles(unit, std::min(block, blocks_), taps_, 1);
      if (fits && (best == 0 || time < best)) best = time, unit_task_ = unit, block_task_ = block;
      if (step == 1) break;
    }
    if (unit == 1) break;
  }
  // What is asked for before its turn has to stay in L2 until then.
  const int64_t pixel_bytes = unit_task_ * kBlock * problem_.planes * 2;
  if (chunks_ > 1) cut_pixels(std::min(pixels, std::max<int64_t>(32, kPairChunkBytes / pixel_bytes)));
  const double all = best * static_cast<double>(problem_.groups);
  const double sums = static_cast<double>(problem_.groups * units_ * unit_rows_ * blocks_ * kBlock);
  const int64_t wanted = times(std::min(kTasks, static_cast<int64_t>(problem_.flops / kLeastFlops)), problem_.cut);
  const int64_t most = std::clamp<int64_t>(static_cast<int64_t>(kPartShare * all / sums), 1, chunks_);
  parts_ = even(chunks_, std::clamp<int64_t>(ceil_div(wanted, splits()), 1, most));
  cut_for_threads();
}

// Positions of x that are packed for each pixel of dy: classes of rows and columns are copies.
double ConvGradStream::packed_share() const {
  const Axis &rows = problem_.rows, &columns = problem_.columns;
  int64_t lines = 0;
  for (const AxisClass& cls : rows.classes) lines += band_ + cls.extra;
  return static_cast<double>(lines * columns.length()) * static_cast<double>(columns.classes.size()) /
         static_cast<double>(band_ * columns.outputs());
}

// An estimate of what a task takes that sums a part of all pixels: products at nine tenths of two multiply-adds a
// cycle, packing its channels, fetching its filters' gradients from L2, its sums, and starting at all. Of pairs, a tile
// of AMX multiplies eight times as fast, both operands are packed from memory, and the sums of each chunk go to L2.
double ConvGradStream::task_cycles(int64_t units, int64_t blocks, int64_t taps, double part) const {
  const GradProblem& p = problem_;
  const double share =
      part * static_cast<double>(units * blocks * taps) / static_cast<double>(units_ * blocks_ * taps_ * p.groups);
  const double pixels = part * static_cast<double>(p.images * p.rows.outputs() * p.columns.outputs());
  const double sums = static_cast<double>(units * taps * lanes_ * blocks * kBlock);
  if (p.planes > 0) {
    const double products =
        static_cast<double>(plane_products(p.planes).size()) * (kernels_->tile_rows > 1 ? 0.125 : 1);
    const double x = 0.3 + 0.3 * packed_share(), dy = 0.4;  // cycles for each value of a pixel
    return products * p.flops * share / 58 +
           pixels * static_cast<double>(kBlock) * (x * static_cast<double>(units) + dy * static_cast<double>(blocks)) +
           sums * part * static_cast<double>(chunks_) / 6 + sums / 2 + 3000;
  }
  return p.flops * share / (3.6 * kernels_->lanes) + (direct_ ? 0 : pixels * static_cast<double>(units * lanes_) / 2) +
         4 * pixels * static_cast<double>(blocks) + sums / 4 + 3000;
}

// Fewer channels, filters and taps for a task, where that lets the threads end together: it decides no bits, unlike the
// number of parts. Taps come last: each of their tasks packs the same channels.
void ConvGradStream::cut_for_threads() {
  const int64_t steps = ceil_div(blocks_, step_), units = unit_task_, blocks = block_task_;
  const auto time = [&](int64_t unit_task, int64_t block_task, int64_t tap_task) {
    const int64_t cuts = problem_.groups * ceil_div(units_, unit_task) * ceil_div(blocks_, block_task) *
                         ceil_div(taps_, tap_task) * parts_;
    const double longest = task_cycles(unit_task, block_task, tap_task, 1.0 / static_cast<double>(parts_));
    const double whole = static_cast<double>(problem_.groups * parts_ * units_ * blocks_ * taps_) /
                         static_cast<double>(unit_task * block_task * tap_task);
    return makespan(longest * whole, longest, cuts, threads_);
  };
  double best = 0.97 * time(units, blocks, taps_);  // a few percent are not worth more packing
  for (int64_t taps = taps_;; taps = even(taps_, taps - 1)) {
    for (int64_t unit = units;; unit = even(units_, unit - 1)) {
      for (int64_t step = blocks / step_;; step = even(steps, step - 1)) {
        const double now = time(unit, step * step_, taps);
        if (now < best) best = now, unit_task_ = unit, block_task_ = step * step_, tap_task_ = taps;
        if (step == 1) break;
      }
      if (unit == 1) break;
    }
    if (taps == 1 || problem_.planar) break;
  }
}

void ConvGradStream::make_windows() {
  const GradProblem& p = problem_;
  const AxisPhase &rows = p.rows.phases[0], &columns = p.columns.phases[0];
  const AxisSpan all_rows{0, rows.outputs}, all_columns{0, columns.outputs};
  if (p.planar) {
    windows_.push_back({all_rows, all_columns, 0});
    return;
  }
  // Rows of pairs that follow each other without a gap stay one run.
  const bool whole = p.planes > 0 && pitch_ == columns.outputs;
  for (int64_t tap = 0; tap < taps_; ++tap) {
    const AxisTap &r = tap_of(p.rows, tap / p.taps_w), &c = tap_of(p.columns, tap % p.taps_w);
    windows_.push_back({span_inside(p.rows, rows, r), whole ? all_columns : span_inside(p.columns, columns, c),
                        tap_offset(r, c) / (p.planes > 0 ? kBlock : 1)});
  }
}

// Of x from where a unit begins, or its copy, for the first pixel of dy. In place it may be outside, as that pixel then
// is of the tap's window.
int64_t ConvGradStream::tap_offset(const AxisTap& row, const AxisTap& column) const {
  if (!direct_) return pack_.offset(row, column);
  return (problem_.rows.where(row) * problem_.columns.source + problem_.columns.where(column)) * lanes_;
}

void ConvGradStream::make_rows() {
  const GradProblem& p = problem_;
  const int64_t most = kernels_->rows[step_ - 1];
  const auto cut = [&](int64_t total, int64_t i) { return total * i / ceil_div(total, most); };
  if (p.planar) {
    std::vector<Rows> all;
    for (int64_t i = 0; i < ceil_div(taps_, most); ++i) {
      Rows rows{0, 0, cut(taps_, i), static_cast<int>(cut(taps_, i + 1) - cut(taps_, i)), {}};
      for (int64_t tap = cut(taps_, i); tap < cut(taps_, i + 1); ++tap)
        rows.offsets.push_back(tap_offset(tap_of(p.rows, tap / p.taps_w), tap_of(p.columns, tap % p.taps_w)));
      all.push_back(std::move(rows));
    }
    rows_.assign(static_cast<size_t>(units_), all);
    return;
  }
  // Of the channels of a unit, those of each part of the weight by themselves.
  const int64_t part = p.weight.depth / p.weight.parts;
  for (int64_t unit = 0; unit < units_; ++unit) {
    const int64_t end = std::min((unit + 1) * kBlock, p.weight.depth);
    std::vector<Rows> all;
    for (int64_t tap = 0; tap < taps_; ++tap) {
      for (int64_t channel = unit * kBlock, next = 0; channel < end; channel = next) {
        next = std::min(end, (channel / part + 1) * part);
        for (int64_t i = 0; i < ceil_div(next - channel, most); ++i) {
          const int64_t first = channel % kBlock + cut(next - channel, i);
          const int m = static_cast<int>(cut(next - channel, i + 1) - cut(next - channel, i));
          all.push_back({tap, first, tap * kBlock + first, m, {}});
        }
      }
    }
    rows_.push_back(std::move(all));
  }
}

ConvGradStream::Task ConvGradStream::task(int64_t index) const {
  Task t;
  t.unit = index % unit_splits() * unit_task_, index /= unit_splits();
  t.units = std::min(unit_task_, units_ - t.unit);
  t.tap = index % tap_splits() * tap_task_, index /= tap_splits();
  t.taps = std::min(tap_task_, taps_ - t.tap);
  t.block = index % block_splits() * block_task_, index /= block_splits();
  t.blocks = std::min(block_task_, blocks_ - t.block);
  t.group = index % problem_.groups, index /= problem_.groups;
  t.part = index;
  t.first_chunk = chunks_ * t.part / parts_;
  t.last_chunk = chunks_ * (t.part + 1) / parts_;
  t.bias = problem_.bias && t.unit == 0 && t.tap == 0;
  return t;
}

// The tiles of a unit that are the task's, and where their sums stand: [block][unit][tap of the task][lane].
ConvGradStream::RowsRange ConvGradStream::rows_of(const Task& task, int64_t unit) const {
  const std::vector<Rows>& all = rows_[static_cast<size_t>(task.unit + unit)];
  const int64_t count = static_cast<int64_t>(all.size());
  return {all.data() + count * task.tap / taps_, all.data() + count * (task.tap + task.taps) / taps_};
}

// Whether these rows have more than zeros in some of the blocks: the sums of the others are nobody's.
bool ConvGradStream::meets(const Task& task, int64_t block, int64_t blocks, int64_t unit, const Rows& rows) const {
  const WeightView& weight = problem_.weight;
  if (weight.parts == 1) return true;
  const int64_t lane = (task.block + block) * kBlock, channel = (task.unit + unit) * kBlock + rows.channel;
  const AxisSpan depths = weight.depths(lane, lane + blocks * kBlock);
  return channel < depths.end && channel + rows.m > depths.first;
}

float* ConvGradStream::sums_of(const Task& task, int64_t block, int64_t unit, const Rows& rows, float* sums) const {
  const int64_t row = (unit * task.taps - task.tap) * lanes_ + rows.target;
  return sums + block * block_sum_floats() + row * kBlock;
}

ConvGradStream::Terms ConvGradStream::terms_of(const Chunk& chunk, const Window& window, int64_t dy_image) const {
  const int64_t columns = problem_.columns.outputs(), width = window.columns.end - window.columns.first;
  const int64_t image_a = direct_ ? problem_.groups * units_ * unit_floats_ : unit_task_ * unit_floats_;
  const AxisSpan rows = chunk.rows_of(window.rows);
  const bool flat = width == columns && pitch_ == columns;
  Terms terms{{}, flat ? (rows.end - rows.first) * columns : width};
  for (int64_t image = 0; image < chunk.images; ++image) {
    for (int64_t row = rows.first; row < (flat ? std::min(rows.first + 1, rows.end) : rows.end); ++row) {
      terms.entries.push_back(
          {image * image_a + (row * pitch_ + window.columns.first * problem_.columns.pace) * lanes_ + window.offset,
           image * dy_image + (row * columns + window.columns.first) * kBlock});
    }
  }
  return terms;
}

// Of pairs a run ends with whole pairs, or tiles: what it then has too much of meets zeros of x or of dy.
ConvGradStream::Terms ConvGradStream::pair_terms_of(const Chunk& chunk, const Window& window) const {
  const AxisSpan rows = chunk.rows_of(window.rows);
  Terms terms{{}, 0};
  if (rows.first == rows.end || window.columns.first == window.columns.end) return terms;
  const int64_t each = pair_rows() ? 1 : rows.end - rows.first;  // rows of one run
  const auto begin = [&](int64_t row) { return pairs_.begin(row * pitch_ + window.columns.first); };
  terms.depth = (pairs_.end((rows.first + each - 1) * pitch_ + window.columns.end) - begin(rows.first)) / 2;
  for (int64_t image = 0; image < chunk.images; ++image) {
    for (const auto& [i, j] : plane_products(problem_.planes)) {
      for (int64_t row = rows.first; row < rows.end; row += each) {
        terms.entries.push_back({image * unit_task_ * pairs_.x_words() + i * pairs_.x_plane() + begin(row) / 2,
                                 image * pairs_.dy_words() + j * pairs_.dy_plane() + begin(row) / 2 * kBlock});
      }
    }
  }
  return terms;
}

const std::vector<ConvGradStream::Terms>& ConvGradStream::terms_of_taps(const Chunk& chunk, int64_t dy_image,
                                                                        KnownTerms* known) const {
  if (known->images == chunk.images && known->dy_image == dy_image) return known->taps;
  *known = {chunk.images, dy_image, {}};
  for (const Window& window : windows_)
    known->taps.push_back(problem_.planes > 0 ? pair_terms_of(chunk, window) : terms_of(chunk, window, dy_image));
  return known->taps;
}

ConvGradStream::Chunk ConvGradStream::chunk_of(const Task& task, int64_t index, Values x, Values dy) const {
  Chunk c{};
  const int64_t first_image = index / bands_ * chunk_images_;
  c.images = std::min(chunk_images_, problem_.images - first_image);
  c.first_row = index % bands_ * band_;
  c.rows = std::min(band_, problem_.rows.outputs() - c.first_row);
  c.accumulate = index != task.first_chunk;
  const int64_t image_floats = problem_.groups * units_ * source_unit_floats_;
  c.x = x + first_image * image_floats + (task.group * units_ + task.unit) * source_unit_floats_;
  c.dy = dy + ((first_image * problem_.groups + task.group) * blocks_ + task.block) * plane() +
         c.first_row * problem_.columns.outputs() * kBlock;
  return c;
}

// Where it lies, or widened.
ConvGradStream::Gradient ConvGradStream::gradient_of(const Task& task, const Chunk& chunk, float* wide) const {
  const int64_t image_step = problem_.groups * blocks_ * plane();
  if (!chunk.dy.half()) return {chunk.dy.floats(), image_step, plane()};
  if (problem_.planes > 0 && !task.bias) return {};
  const int64_t pixels = chunk.rows * problem_.columns.outputs() * kBlock;
  for (int64_t image = 0; image < chunk.images; ++image) {
    for (int64_t block = 0; block < task.blocks; ++block) {
      bf16_kernels()->widen((chunk.dy + image * image_step + block * plane()).halves(), pixels,
                            wide + (image * task.blocks + block) * pixels);
    }
  }
  return {wide, task.blocks * pixels, pixels};
}

// Of dy, from the first row of the chunk on.
AxisSpan ConvGradStream::Chunk::rows_of(const AxisSpan& span) const {
  const int64_t first = std::clamp<int64_t>(span.first - first_row, 0, rows);
  return {first, std::clamp<int64_t>(span.end - first_row, first, rows)};
}

// What a task will read, in the order in which it comes to it: the rest of the chunk, and what the next one begins
// with. Channels that are packed, as pairs are, are read at the beginning of a chunk. Not what is rounded in memory and
// read as float32: that is widened first.
Ahead ConvGradStream::ahead(const Task& task, const Chunk& chunk, const Chunk* next) const {
  const GradProblem& p = problem_;
  Ahead ahead;
  const double values = static_cast<double>(p.images * p.groups * blocks_ * plane());
  // What is small L3 has: planes, and whole images.
  if (p.planar ? !outgrows_caches(values * 4) : direct_ && chunk_images_ > 1) return ahead;
  const int64_t image_x = p.groups * units_ * source_unit_floats_, image_dy = p.groups * blocks_ * plane();
  const auto ask_x = [&](const Chunk& c, int64_t unit) {
    const AxisSpan rows = span_read(p.rows, c.first_row, c.rows);
    for (int64_t image = 0; image < c.images; ++image) {
      const Values x = c.x + image * image_x + unit * source_unit_floats_;
      ahead.add(x + rows.first * p.columns.source * lanes_, x + rows.end * p.columns.source * lanes_);
    }
  };
  const auto ask_dy = [&](const Chunk& c, int64_t first) {
    if (p.planes == 0 && c.dy.half()) return;
    for (int64_t block = first; block < std::min(first + step_, task.blocks); ++block) {
      for (int64_t image = 0; image < c.images; ++image) {
        const Values dy = c.dy + image * image_dy + block * plane();
        ahead.add(dy, dy + c.rows * p.columns.outputs() * kBlock);
      }
    }
  };
  for (int64_t unit = 1; unit < task.units && direct_; ++unit) ask_x(chunk, unit);
  for (int64_t block = step_; block < task.blocks; block += step_) ask_dy(chunk, block);
  if (!next) return ahead;
  for (int64_t unit = 0; unit < (direct_ ? 1 : task.units); ++unit) ask_x(*next, unit);
  ask_dy(*next, 0);
  return ahead;
}

void ConvGradStream::add_chunk(const Task& task, const Chunk& chunk, const Gradient& dy, float* packed, float* sums,
                               const std::vector<Terms>& terms, Ahead* ahead) const {
  const int64_t image_floats = problem_.groups * units_ * source_unit_floats_;
  const float* base = direct_ ? (chunk.x + chunk.first_row * pitch_ * lanes_).floats() : packed;
  if (!direct_) {
    for (int64_t image = 0; image < chunk.images; ++image) {
      for (int64_t unit = 0; unit < task.units; ++unit) {
        pack_.pack(chunk.x + image * image_floats + unit * source_unit_floats_, chunk.first_row, chunk.rows,
                   packed + (image * unit_task_ + unit) * unit_floats_);
      }
    }
  }
  BrgemmCall call{};
  call.a_step = problem_.columns.pace;
  call.b_block = dy.block;
  call.c_row = kBlock;
  call.c_block = block_sum_floats();
  call.accumulate = chunk.accumulate;
  call.not_finite = chunk.not_finite;
  for (int64_t block = 0; block < task.blocks; block += step_) {
    const int nb = static_cast<int>(std::min<int64_t>(step_, task.blocks - block));
    call.b = dy.at + block * dy.block;
    for (int64_t unit = 0; unit < task.units; ++unit) {
      for (const Rows& tile : rows_of(task, unit)) {
        if (!meets(task, block, nb, unit, tile)) continue;
        take(terms[static_cast<size_t>(tile.tap)], nb, ahead, &call);
        call.a = base + unit * unit_floats_ + tile.channel;
        call.a_rows = tile.offsets.data();
        call.c = sums_of(task, block, unit, tile, sums);
        kernels_->at(kind_, tile.m, nb)(call);
      }
    }
  }
}

// The same over pairs of pixels: [image][unit] of x, and [block][image] of the filters' gradients that the tiles of one
// round take, packed just before. One entry for each image and product of planes.
void ConvGradStream::add_pairs(const Task& task, const Chunk& chunk, float* packed, float* sums,
                               const std::vector<Terms>& terms, Ahead* ahead) const {
  const int64_t image_floats = problem_.groups * units_ * source_unit_floats_;
  const int64_t image_x = unit_task_ * pairs_.x_words(), block_dy = chunk_images_ * pairs_.dy_words();
  float* const dy = packed + chunk_images_ * image_x;
  float* const scratch = dy + step_ * block_dy;
  for (int64_t image = 0; image < chunk.images; ++image) {
    for (int64_t unit = 0; unit < task.units; ++unit) {
      pairs_.pack_x(pack_, chunk.x + image * image_floats + unit * source_unit_floats_, chunk.first_row, chunk.rows,
                    scratch, packed + image * image_x + unit * pairs_.x_words());
    }
  }
  BrgemmCall call{};
  call.a_step = pairs_.x_row();
  call.b = dy;
  call.b_block = block_dy;
  call.c_row = kBlock;
  call.c_block = block_sum_floats();
  call.accumulate = chunk.accumulate;
  call.not_finite = chunk.not_finite;
  for (int64_t first = 0; first < task.blocks; first += step_) {
    const int64_t nb = std::min<int64_t>(step_, task.blocks - first);
    for (int64_t i = 0; i < nb * chunk.images; ++i) {
      const int64_t block = i / chunk.images, image = i % chunk.images;
      pairs_.pack_dy(chunk.dy + (image * problem_.groups * blocks_ + first + block) * plane(), chunk.rows, scratch,
                     dy + block * block_dy + image * pairs_.dy_words());
    }
    for (int64_t unit = 0; unit < task.units; ++unit) {
      for (const Rows& tile : rows_of(task, unit)) {
        if (!meets(task, first, nb, unit, tile)) continue;
        take(terms[static_cast<size_t>(tile.tap)], nb, ahead, &call);
        call.a =
            pairs_.at(packed + unit * pairs_.x_words(), tile.channel, windows_[static_cast<size_t>(tile.tap)].offset);
        call.c = sums_of(task, first, unit, tile, sums);
        kernels_->at(kind_, tile.m, static_cast<int>(nb))(call);
      }
    }
  }
}

// The sum of dy, in float32 always.
void ConvGradStream::add_bias(const Task& task, const Chunk& chunk, const Gradient& dy, float* sums) const {
  std::vector<BrgemmEntry> images;
  for (int64_t image = 0; image < chunk.images; ++image) images.push_back({0, image * dy.image});
  BrgemmCall call{};
  call.entries = images.data();
  call.count = chunk.images;
  call.depth = chunk.rows * problem_.columns.outputs();
  call.a = kOnes;
  call.c_row = kBlock;
  call.accumulate = chunk.accumulate;
  for (int64_t block = 0; block < task.blocks; ++block) {
    call.b = dy.at + block * dy.block;
    call.c = sums + block * block_sum_floats() + bias_floats();
    brgemm_kernels().at(BrgemmRows::kColumns, 1, 1)(call);
  }
}

void ConvGradStream::run_task(const Task& task, Values x, Values dy, float* packed, float* sums,
                              bool* not_finite) const {
  const BrgemmScope scope(*kernels_);
  std::vector<KnownTerms> known(static_cast<size_t>(bands_));
  for (int64_t index = task.first_chunk; index < task.last_chunk; ++index) {
    Chunk chunk = chunk_of(task, index, x, dy);
    chunk.not_finite = index == task.last_chunk - 1 ? not_finite : nullptr;
    const Gradient gradient = gradient_of(task, chunk, packed + packed_floats_);
    const bool last = index + 1 == task.last_chunk;
    const Chunk next = chunk_of(task, last ? index : index + 1, x, dy);
    Ahead ahead = this->ahead(task, chunk, last ? nullptr : &next);
    const std::vector<Terms>& terms = terms_of_taps(chunk, gradient.image, &known[static_cast<size_t>(index % bands_)]);
    if (problem_.planes > 0)
      add_pairs(task, chunk, packed, sums, terms, &ahead);
    else
      add_chunk(task, chunk, gradient, packed, sums, terms, &ahead);
    if (task.bias) add_bias(task, chunk, gradient, sums);
  }
}

// What `sums` hold for one block of filters goes to dw and db.
void ConvGradStream::write_block(const Task& task, int64_t block, const float* sums, float* dw, float* db) const {
  const WeightView& view = problem_.weight;
  const int64_t first = task.unit * lanes_, last = std::min(first + task.units * lanes_, view.depth);
  const auto taps = problem_.tap_offsets.begin() + task.tap;
  unpack_weight(sums, view, {taps, taps + task.taps}, lanes_, first, last, block, dw + task.group * view.group_stride);
  if (!task.bias) return;
  std::copy_n(sums + bias_floats(), std::min<int64_t>(kBlock, view.lanes - block * kBlock),
              db + task.group * view.lanes + block * kBlock);
}

size_t ConvGradStream::workspace_bytes() const {
  const int64_t sums = parts_ > 1 ? splits() * parts_ : threads_;
  return static_cast<size_t>(sums * sum_floats() + threads_ * (packed_floats_ + wide_floats_)) * sizeof(float);
}

Status ConvGradStream::run(const RunContext& context, Values x, Values dy, float* dw, float* db,
                           std::byte* workspace) const {
  float* sums = reinterpret_cast<float*>(workspace);
  float* packed = sums + (parts_ > 1 ? splits() * parts_ : threads_) * sum_floats();
  context.pool.parallel_for(
      splits() * parts_,
      [&](int64_t index, int thread) {
        if (context.cancelled.load(std::memory_order_relaxed)) return;
        const Task t = task(index);
        float* own = sums + (parts_ > 1 ? index : thread) * sum_floats();
        bool not_finite = false;
        run_task(t, x, dy, packed + thread * (packed_floats_ + wide_floats_), own,
                 context.not_finite ? &not_finite : nullptr);
        if (not_finite) context.not_finite->store(true, std::memory_order_relaxed);
        for (int64_t block = 0; block < t.blocks && parts_ == 1; ++block)
          write_block(t, t.block + block, own + block * block_sum_floats(), dw, db);
      },
      nanoseconds_of_flops(problem_.flops));
  if (context.cancelled.load(std::memory_order_relaxed)) return {Code::kAborted, "cancelled"};
  if (parts_ == 1) return {};
  context.pool.parallel_for(
      splits() * block_task_,
      [&](int64_t index, int) {
        const int64_t split = index / block_task_, block = index % block_task_;
        const Task t = task(split);
        if (block >= t.blocks) return;
        float* total = sums + split * sum_floats() + block * block_sum_floats();
        for (int64_t part = 1; part < parts_; ++part) {
          const float* more = total + part * splits() * sum_floats();
          for (int64_t i = 0; i < block_sum_floats(); ++i) total[i] += more[i];
        }
        write_block(t, t.block + block, total, dw, db);
      },
      nanoseconds_of(static_cast<double>(splits() * parts_ * sum_floats())));
  return {};
}

std::vector<std::vector<double>> ConvGradStream::loops() const {
  std::vector<double> main, add;
  for (int64_t i = 0; i < splits() * parts_; ++i) {
    const Task t = task(i);
    const double part = static_cast<double>(t.last_chunk - t.first_chunk) / static_cast<double>(chunks_);
    main.push_back(task_cycles(t.units, t.blocks, t.taps, part));
    for (int64_t block = 0; block < block_task_ && i < splits() && parts_ > 1; ++block)
      add.push_back(static_cast<double>(block_sum_floats() * parts_) / 8);
  }
  return {main, add};
}

std::string ConvGradStream::describe() const {
  return std::string(kernels_->name) + " x" + std::to_string(step_ * kBlock) +
         (problem_.planes > 0 ? ", " + std::to_string(plane_products(problem_.planes).size()) + " products" : "") +
         (problem_.planar ? ", planar" : "") + (direct_ ? ", in place" : ", packed") + ", rows " +
         std::to_string(band_) + ", images " + std::to_string(chunk_images_) + ", channels " +
         std::to_string(unit_task_ * lanes_) + ", filters " + std::to_string(block_task_ * kBlock) + ", taps " +
         std::to_string(tap_task_) + ", parts " + std::to_string(parts_) + ", tasks " +
         std::to_string(splits() * parts_);
}

}  // namespace fovea
