// How a ConvGradStream is laid out: tasks, chunks of pixels, tiles and what a tap reads, all before anything runs.
#include <algorithm>

#include "ops/bf16_products.h"
#include "ops/conv_grad_stream.h"
#include "ops/parallel.h"
#include "ops/tile_choice.h"

namespace fovea {

namespace {

constexpr int64_t kSumBytes = 256 * 1024;  // of one task: a quarter of L2, read and written once a chunk
// That are added up in one sum when it has to be as exact as float32: over 1024 pixels the error was 7.9e-7,
// with 7.1e-7 allowed.
constexpr int64_t kSumPixels = 384;
constexpr int64_t kJoinedPixels = 1536;  // of dy beside joined pairs of x: some 200 KiB, in L2 (384: 1.2 times as long)
constexpr int64_t kTasks = 16;
constexpr double kLeastFlops = 4e6;
constexpr int64_t kMostParts = 32;               // where a part is so much work that
constexpr double kPartFlops = 1.5e8;             // writing and adding its sums is a few percent of it
constexpr int64_t kPairSumBytes = 512 * 1024;    // of pairs: half of L2, packed channels have the rest
constexpr int64_t kPairChunkBytes = 256 * 1024;  // of packed channels: the next chunk's are asked for beside them
constexpr double kPartShare = 0.03;  // of the time of one part, in cycles for each sum that another one adds

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
  s.tap_task_ = s.taps_;
  const int64_t rows = problem.planar ? s.taps_ : std::min<int64_t>(kBlock, problem.weight.depth);
  // Of vectors of pairs two blocks: their 64 bytes for each pixel and block of dy then serve so many channels from L1
  // and L2.
  const bool pairs = problem.planes > 0 && s.kernels_->tile_rows == 1, parts = problem.weight.parts > 1;
  const int grouped = blocks_by_group(problem.weight, *s.kernels_, 1);
  const int wanted = problem.tile_blocks > 0 ? problem.tile_blocks : parts ? grouped : pairs ? 2 : 0;
  s.step_ = s.tiled() ? std::min<int64_t>(s.blocks_, wanted == 1 ? 1 : 2)
                      : choose_tiles(*s.kernels_, rows, s.blocks_, 128, wanted).nb;
  s.rounds_ = LaneRounds(problem.weight, s.step_, s.step_ > 1 && grouped > 1);
  s.joins_taps_ = s.can_join_taps();
  s.side_by_side_ = s.joins_taps_ && s.copy_pays();
  if (s.joins_taps_) s.kind_ = s.side_by_side_ ? BrgemmRows::kColumns : BrgemmRows::kList;
  s.sum_lanes_ = s.joins_taps_ ? problem.weight.depth : s.lanes_;
  s.unit_rows_ = s.taps_ * s.sum_lanes_;
  s.source_unit_floats_ = problem.rows.source * problem.columns.source * s.lanes_;
  s.direct_ = !s.side_by_side_ && problem.planes == 0 && problem.x_type == DType::kFloat32 &&
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
  s.abreast_ = s.images_pay();
  s.turned_ = s.tiled() && (s.abreast_ || s.taps_ > 1 || s.units_ >= s.blocks_);
  s.choose_blocking();
  s.pack_ = PackedBand(problem.rows, problem.columns, s.lanes_, s.band_, s.pair_rows() ? 2 : 1);
  s.unit_floats_ = s.direct_ ? s.source_unit_floats_ : s.pack_.floats();
  s.pitch_ = s.direct_ ? problem.rows.step() * problem.columns.source : s.pack_.pitch();
  s.pixel_floats_ = s.lanes_;
  if (s.side_by_side_) {
    s.joined_ = JoinedTaps(problem.rows, problem.columns, problem.weight.depth, s.band_, problem.planes > 0);
    s.unit_floats_ = s.joined_.floats(), s.pitch_ = s.joined_.pitch(), s.pixel_floats_ = s.joined_.output_floats();
  }
  s.packed_floats_ = s.direct_ ? 0 : ceil_div(s.chunk_images_ * s.unit_task_ * s.unit_floats_, 16) * 16;
  if (s.joins_pairs()) {
    s.packed_floats_ += s.block_task_ * s.chunk_images_ * s.joined_dy_words();
  } else if (problem.planes > 0) {
    const int64_t columns = problem.columns.outputs();
    s.pairs_ = s.abreast_ ? PixelPairs(problem.rows.source * problem.columns.source, problem.rows.outputs() * columns,
                                       round_up(s.chunk_images_, kPairUnit), problem.planes)
                          : PixelPairs(s.pack_, s.band_, columns, problem.planes, s.pairs_way());
    s.packed_floats_ = s.packed_images() * (s.unit_task_ * s.pairs_.x_words() + s.step_ * s.pairs_.dy_words()) +
                       s.pairs_.scratch_floats();
  }
  if (problem.dy_type == DType::kBfloat16 && (problem.planes == 0 || problem.bias))
    s.wide_floats_ = s.chunk_images_ * s.block_task_ * s.band_ * problem.columns.outputs() * kBlock;
  s.make_windows();
  s.make_rows();
  return {};
}

// Whether one tap's rows are too few to keep the units busy, and all taps read the same number of pixels, none of them
// padding. Pairs are of neighbours, which a list of addresses cannot say: they want the copy.
bool ConvGradStream::can_join_taps() const {
  constexpr int64_t kBusy = 8;  // vectors of sums: two multiply-adds a cycle, each four cycles long
  const GradProblem& p = problem_;
  const int64_t vectors = p.weight.depth * step_ * kBlock / kernels_->lanes;
  const bool inside = p.rows.inside() && p.columns.inside();
  const bool can = p.planes == 0 || (p.planes == 1 && !tiled() && p.columns.outputs() % 2 == 0 && copy_pays());
  return !p.planar && can && p.weight.parts == 1 && taps_ > 1 && vectors < kBusy && inside;
}

// Whether a copy in which the taps of a row lie side by side costs less than addresses for them: it is as large as the
// taps are many, rows that the next chunk reads as well are copied again, and each store of it should serve some
// products.
bool ConvGradStream::copy_pays() const {
  constexpr int64_t kLeastSums = 16, kChunkPixels = 256;
  constexpr double kMostBytes = 256 * 1024, kMostAgain = 1.5;
  const GradProblem& p = problem_;
  const int64_t columns = p.columns.outputs();
  const int64_t rows = std::min(p.rows.outputs(), std::max<int64_t>(1, kChunkPixels / columns));
  const AxisSpan read = span_read(p.rows, 0, rows);
  const double copied = static_cast<double>(read.end - read.first);
  return taps_ / p.taps_w * p.weight.depth >= kLeastSums &&
         copied <= kMostAgain * static_cast<double>(rows * p.rows.step()) &&
         copied * static_cast<double>(columns) * static_cast<double>(p.taps_w * p.weight.depth) * 4 <= kMostBytes;
}

void ConvGradStream::choose_blocking() {
  const int64_t step = rounds_.least_split();
  // Of dy, that stay in L1: two pixels to a word of pairs, of which two thirds as many were 0.988 of the time (24
  // layers, Zen 5).
  const int64_t fitting = panel_bytes(*kernels_) / (step_ * kBlock * 4);
  const int64_t most = problem_.planes == 0            ? kSumPixels
                       : joins_pairs()                 ? kJoinedPixels
                       : problem_.planes == kMaxPlanes ? kSumPixels / 6
                       : tiled()                       ? 4 * kPiecePixels
                                                       : fitting * 2;
  const int64_t pixels = std::clamp<int64_t>(problem_.planes > 0 ? 4 * fitting / (3 * problem_.planes) : fitting, 32,
                                             std::max<int64_t>(32, most));
  cut_pixels(pixels);
  if (problem_.planes > 0 && !side_by_side_) return choose_pair_tasks(pixels);
  // As many sums as fit: every chunk of x and dy that was fetched then serves many products.
  unit_task_ = units_;
  block_task_ = ceil_div(blocks_, step) * step;
  const auto sum_bytes = [&] { return unit_task_ * unit_rows_ * block_task_ * kBlock * 4; };
  while (sum_bytes() > kSumBytes && (unit_task_ > 1 || block_task_ > step)) {
    // Channels that are packed should serve many filters; otherwise, or where filters are widened just as they are, the
    // squarest product moves the least.
    const bool alike = direct_ || (problem_.dy_type == DType::kBfloat16 && taps_ == 1);
    const bool fewer_units = alike ? unit_task_ * lanes_ > block_task_ * kBlock : unit_task_ * lanes_ > kBlock;
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
  const int64_t least = rounds_.least_split(), steps = ceil_div(blocks_, least);
  double best = 0;
  for (int64_t unit = units_;; unit = even(units_, unit - 1)) {
    for (int64_t step = steps;; step = even(steps, step - 1)) {
      const int64_t block = step * least;
      // Those of one chunk are written once, and not read again.
      const int64_t most = abreast_ && images_abreast(unit) == problem_.images ? 4 * kPairSumBytes : kPairSumBytes;
      const bool fits = unit * unit_rows_ * block * kBlock * 4 <= most || (unit == 1 && step == 1);
      const double time = static_cast<double>(ceil_div(units_, unit) * ceil_div(blocks_, block)) *
                          task_cycles(unit, std::min(block, blocks_), taps_, 1);
      if (fits && (best == 0 || time < best)) best = time, unit_task_ = unit, block_task_ = block;
      if (step == 1) break;
    }
    if (unit == 1) break;
  }
  if (abreast_) {
    chunk_images_ = images_abreast(unit_task_), chunks_ = ceil_div(problem_.images, chunk_images_);
    band_ = problem_.rows.outputs(), bands_ = 1;
  }
  // What is asked for before its turn has to stay in L2 until then.
  const int64_t pixel_bytes = unit_task_ * kBlock * problem_.planes * 2;
  if (chunks_ > 1 && !abreast_) cut_pixels(std::min(pixels, std::max<int64_t>(32, kPairChunkBytes / pixel_bytes)));
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
  const double sums = static_cast<double>(units * taps * sum_lanes_ * blocks * kBlock);
  if (p.planes > 0) {
    double products = static_cast<double>(plane_products(p.planes).size());
    double x = 0.3 + 0.3 * packed_share(), dy = 0.4;  // cycles for each value of a pixel
    if (tiled()) {                                    // two blocks of either at once
      products *=
          0.125 * static_cast<double>(round_up(units, 2) * round_up(blocks, 2)) / static_cast<double>(units * blocks);
      const double pairs = abreast_ ? 0.35 : 0.2 + 0.2 * packed_share(), rows = 0.5;
      x = turned_ ? pairs : rows, dy = turned_ ? rows : pairs;
    }
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
  const int64_t least = rounds_.least_split(), steps = ceil_div(blocks_, least);
  const int64_t units = unit_task_, blocks = block_task_;
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
      for (int64_t step = blocks / least;; step = even(steps, step - 1)) {
        const double now = time(unit, step * least, taps);
        if (now < best) best = now, unit_task_ = unit, block_task_ = step * least, tap_task_ = taps;
        if (step == 1) break;
      }
      if (unit == 1) break;
    }
    if (taps == 1 || problem_.planar || joins_taps_) break;
  }
}

// Images of a chunk of so many units of channels: as many as L2 has room for beside dy.
int64_t ConvGradStream::images_abreast(int64_t units) const {
  constexpr int64_t kBytes = 512 * 1024;
  const GradProblem& p = problem_;
  const int64_t thirty_two = units * p.rows.source * p.columns.source * kPairUnit * kBlock * p.planes * 2;
  const int64_t most = std::max<int64_t>(1, kBytes / thirty_two) * kPairUnit, cuts = ceil_div(p.images, most);
  return std::min(p.images, round_up(ceil_div(p.images, cuts), kPairUnit));
}

// Whether the rows of small maps, with what they are padded with for the taps and up to 32 pixels, take more products
// than the same pixels of so many images.
bool ConvGradStream::images_pay() const {
  constexpr int64_t kMostBytes = 128 * 1024;  // of 32 images of a unit of x, and of a block of dy
  constexpr double kLess = 0.85;
  const GradProblem& p = problem_;
  const int64_t pixels = std::max(p.rows.source * p.columns.source, p.rows.outputs() * p.columns.outputs());
  const bool zeros = p.rows.mode == PaddingMode::kZeros && p.columns.mode == PaddingMode::kZeros;
  // Not of three planes, whose sums have to be short.
  if (!tiled() || p.planes == kMaxPlanes || !(zeros || (p.rows.inside() && p.columns.inside()))) return false;
  if (pixels > kMostBytes / (kPairUnit * kBlock * 2 * p.planes)) return false;
  double products = 0;
  for (int64_t tap = 0; tap < taps_; ++tap) {
    const AxisPhase &rows = p.rows.phases[0], &columns = p.columns.phases[0];
    const AxisSpan r = span_inside(p.rows, rows, tap_of(p.rows, tap / p.taps_w));
    const AxisSpan c = span_inside(p.columns, columns, tap_of(p.columns, tap % p.taps_w));
    products += static_cast<double>((r.end - r.first) * (c.end - c.first));
  }
  products *= static_cast<double>(round_up(p.images, kPairUnit));
  const int64_t stream = round_up(p.rows.outputs() * p.columns.length(), kPairUnit);
  return products < kLess * static_cast<double>(taps_ * stream * p.images);
}

void ConvGradStream::make_windows() {
  const GradProblem& p = problem_;
  const AxisPhase &rows = p.rows.phases[0], &columns = p.columns.phases[0];
  const AxisSpan all_rows{0, rows.outputs}, all_columns{0, columns.outputs};
  if (p.planar || joins_taps_) {
    windows_.push_back({all_rows, {0, steps_of_row()}, 0});
    return;
  }
  // Rows of pairs that follow each other without a gap stay one run.
  const bool whole = p.planes > 0 && pitch_ == columns.outputs;
  for (int64_t tap = 0; tap < taps_; ++tap) {
    const AxisTap &r = tap_of(p.rows, tap / p.taps_w), &c = tap_of(p.columns, tap % p.taps_w);
    if (abreast_) {
      windows_.push_back({span_inside(p.rows, rows, r), span_inside(p.columns, columns, c),
                          p.rows.where(r) * p.columns.source + p.columns.where(c)});
      continue;
    }
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

PixelPairs::Way ConvGradStream::pairs_way() const {
  return {turned_ ? PixelPairs::Rows::kDy : PixelPairs::Rows::kX, tiled() ? kPairUnit : 2, has_odd_taps()};
}

bool ConvGradStream::has_odd_taps() const {
  for (int64_t tap = 0; tap < taps_; ++tap) {
    const AxisTap &r = tap_of(problem_.rows, tap / problem_.taps_w),
                  &c = tap_of(problem_.columns, tap % problem_.taps_w);
    if (pack_.offset(r, c) / kBlock % 2 != 0) return true;
  }
  return false;
}

// The channels of all taps of a row of the filter follow each other in the copy.
std::vector<ConvGradStream::Rows> ConvGradStream::rows_side_by_side() const {
  const GradProblem& p = problem_;
  const int64_t count = p.taps_w * p.weight.depth, tiles = ceil_div(count, kernels_->rows[step_ - 1]);
  std::vector<Rows> all;
  for (int64_t tap = 0; tap < taps_ / p.taps_w; ++tap) {
    const int64_t begin = joined_.offset(tap_of(p.rows, tap));
    for (int64_t i = 0; i < tiles; ++i) {
      const int64_t first = count * i / tiles, end = count * (i + 1) / tiles;
      all.push_back({0, begin + first, tap * count + first, static_cast<int>(end - first), {}});
    }
  }
  return all;
}

// The planes, or the channels, of several taps of so many units, wherever they stand.
std::vector<ConvGradStream::Rows> ConvGradStream::listed_rows(int64_t units) const {
  const GradProblem& p = problem_;
  const int64_t count = units * unit_rows_, tiles = ceil_div(count, kernels_->rows[step_ - 1]);
  std::vector<Rows> all;
  for (int64_t i = 0; i < tiles; ++i) {
    const int64_t first = count * i / tiles, end = count * (i + 1) / tiles;
    Rows rows{0, 0, first, static_cast<int>(end - first), {}};
    for (int64_t row = first; row < end; ++row) {
      const int64_t unit = row / unit_rows_, tap = row % unit_rows_ / sum_lanes_, channel = row % sum_lanes_;
      rows.offsets.push_back(unit * unit_floats_ + channel +
                             tap_offset(tap_of(p.rows, tap / p.taps_w), tap_of(p.columns, tap % p.taps_w)));
    }
    all.push_back(std::move(rows));
  }
  return all;
}

void ConvGradStream::make_rows() {
  const GradProblem& p = problem_;
  if (p.planar && unit_task_ == units_ && p.weight.parts == 1) {  // the first unit's tiles have the rows of all
    rows_.resize(static_cast<size_t>(units_));
    rows_[0] = listed_rows(units_);
    return;
  }
  if (side_by_side_ || p.planar || joins_taps_) {
    rows_.assign(static_cast<size_t>(units_), side_by_side_ ? rows_side_by_side() : listed_rows(1));
    return;
  }
  const int64_t most = kernels_->rows[step_ - 1];
  const auto cut = [&](int64_t total, int64_t i) { return total * i / ceil_div(total, most); };
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

}  // namespace fovea
