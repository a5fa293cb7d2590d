// How a ConvStream is laid out: tasks, panels and what a chunk of channels is, all before anything runs. Its lists of
// entries and tiles: conv_stream_tiles.cc.
#include <algorithm>

#include "cpu/features.h"
#include "kernels/bf16/bf16.h"
#include "ops/bf16_products.h"
#include "ops/conv_stream.h"
#include "ops/parallel.h"

namespace fovea {

namespace {

// Of a core's L2. For the pixels that are packed, or read, at once; panels and sums have the rest. And how much of it
// pixels that are read where they lie may fill for all of them to be read at once.
constexpr double kScratchShare = 0.5, kStaysShare = 0.8;
constexpr double kLeastL2 = 256 * 1024, kMostL2 = 1024 * 1024;  // measured with 512 KiB and 1 MiB
constexpr double kMostTileL2 =
    2 * kMostL2;  // of AMX, which is through with what fits sooner, and adds sums up in memory
constexpr int64_t kGroupPixels =
    256;  // the least that makes fetching a panel cheap: 256 pixels ≈ 36,000 cycles a panel
constexpr int64_t kLeastPixels = 112;
constexpr int64_t kTasks = 32;
constexpr int64_t kTileSteps = 144;                      // of the sum that tiles are compared by
constexpr double kPackCycles = 8, kPlanePackCycles = 2;  // of one pixel of 16 channels, of one plane
constexpr double kAbreastGains = 0.95;                   // before that is worth it: an estimate
constexpr double kAbreastTileGains = 0.8;                // of tiles of AMX, to which packing is dearer
constexpr double kStridedSource = 1.08;    // what is read with a stride leaves every other line of the caches empty
constexpr int64_t kMostEntries = 1 << 18;  // of all covers together: 4 MiB
constexpr int64_t kMostListed = 1 << 20;   // outputs whose tiles are listed band by band: a few MiB
constexpr double kLeastFlops = 4e6;        // of one task: some 20 microseconds

// Of all phases.
std::vector<AxisRun> runs_of(const Axis& axis) {
  std::vector<AxisRun> runs;
  for (const AxisPhase& phase : axis.phases) {
    const std::vector<AxisRun> more = runs_inside(axis, phase);
    runs.insert(runs.end(), more.begin(), more.end());
  }
  return runs;
}

}  // namespace

Status ConvStream::plan(const StreamProblem& problem, int threads, ConvStream* stream) {
  ConvStream& s = *stream;
  s.problem_ = problem;
  s.kernels_ = problem.planes > 0 ? brgemm_bf16_kernels() : &brgemm_kernels();
  s.threads_ = threads;
  s.tiles_round_ = s.kernels_->rounds && problem.dest_type == DType::kBfloat16;
  s.source_lanes_ = problem.planar ? 1 : kBlock;
  s.planes_ = std::max(1, problem.planes);
  s.products_ = plane_products(s.planes_);
  const bool whole = problem.rows.direct() && problem.columns.direct();
  s.read_in_place(s.lies_as_words() && s.words_pay() &&
                  (whole || (problem.planar && problem.rows.inside() && problem.columns.inside())));
  s.source_blocks_ = ceil_div(problem.weight.depth, s.source_lanes_);
  s.dest_blocks_ = blocks(problem.weight.lanes);
  s.source_block_values_ = problem.rows.source * problem.columns.source * s.source_lanes_;
  s.outputs_ = problem.rows.outputs();

  // Sizes as doubles first: nothing below may overflow. One row of one image, all of its units, is the least to pack.
  const double row = static_cast<double>(problem.columns.classes.size()) *
                     static_cast<double>(problem.rows.classes.size()) * static_cast<double>(1 + problem.rows.extra()) *
                     static_cast<double>(problem.columns.length()) * 64.0;
  const double panels = static_cast<double>(problem.groups) * static_cast<double>(s.dest_blocks_) * 16.0 *
                        static_cast<double>(s.units_ * s.lanes_ * s.planes_) *
                        static_cast<double>(problem.tap_offsets.size()) * 4.0;
  constexpr double kMost = 1ll << 44;
  if (row > kMost || panels > kMost) return {Code::kMemory, "convolution workspace would exceed 16 TiB"};

  s.holes_ = problem.rows.holes || problem.columns.holes;
  if (problem.rows.phases.empty() || problem.columns.phases.empty()) {  // every output is zero
    s.image_groups_ = 0;
    return {};
  }
  const TileChoice tiles = s.choose_rows();
  s.pads_ = problem.planes == 0 && !s.skips_ && (reads_zeros(problem.rows) || reads_zeros(problem.columns));
  // The hardware sees by itself what is read without gaps. Pairs take half the time of float32, and asking more of it
  // than it gains, unless a stride leaves out much.
  const bool strided = problem.rows.step() > 1 || problem.columns.step() > 1, taps = problem.tap_offsets.size() > 1;
  s.asks_ahead_ = s.direct_ ? problem.columns.step() > 1 : problem.planes > 0 ? strided : taps;
  // Vectors of pairs: of tiles that are equally fast, those with the smallest panels.
  const bool pairs = problem.planes > 0 && s.kernels_->tile_rows == 1, parts = problem.weight.parts > 1;
  const int wanted = problem.tile_blocks > 0 ? problem.tile_blocks
                     : parts                 ? s.blocks_by_group()
                     : s.strip_words() > 0   ? 1
                     : pairs                 ? 2
                                             : 0;
  const bool possible = wanted > 0 && wanted <= s.kernels_->blocks && wanted <= s.dest_blocks_;
  s.step_ = possible ? wanted : tiles.nb;
  s.choose_blocking();
  s.band_pack_ = PackedBand(problem.rows, problem.columns, s.lanes_, s.band_);
  const int64_t pixels = problem.rows.source * problem.columns.source;
  s.unit_floats_ = s.lies_as_source() ? pixels * s.pixel_floats() : s.band_pack_.floats();
  const int64_t copies = s.direct_ ? 0 : s.abreast_ ? 1 : s.group_images_;
  s.scratch_floats_ = round_up(copies * s.chunk_ * s.planes_ * s.unit_floats_, 16);
  for (const AxisPhase& row_phase : s.problem_.rows.phases) {
    for (const AxisPhase& column_phase : s.problem_.columns.phases) s.add_phase(row_phase, column_phase);
  }
  if (problem.dest_type == DType::kBfloat16) s.sum_floats_ = s.count_sums();
  s.beyond_floats_ = s.count_beyond();
  const double values = static_cast<double>(problem.images * problem.groups * s.dest_blocks_ * kBlock) *
                        static_cast<double>(problem.dest_h * problem.dest_w);
  const double bytes = values * static_cast<double>(dtype_bytes(problem.dest_type));
  s.past_caches_ = s.adds_up_at_once() && !problem.epilogue && stored_past_caches(bytes);
  return {};
}

double ConvStream::l2_bytes() const {
  return std::clamp(static_cast<double>(cpu_features().l2_bytes), kLeastL2,
                    kernels_->tile_rows > 1 ? kMostTileL2 : kMostL2);
}

// Whether each sum is one call of a tile.
bool ConvStream::adds_up_at_once() const {
  return !keeps_sums() &&
         std::all_of(phases_.begin(), phases_.end(), [](const Phase& p) { return p.last.size() == 1; });
}

// Of a task, where what lies in memory is rounded: none, if tiles round and add up all of a sum at once.
int64_t ConvStream::count_sums() const {
  if (tiles_round_ && adds_up_at_once()) return 0;
  const int64_t step = problem_.rows.phases.front().step;
  const int64_t lines = std::max(band_ * step, problem_.dest_h - (bands_ - 1) * band_ * step);
  const int64_t blocks = keeps_sums() ? split_blocks_ : std::min(step_, split_blocks_);
  return group_images_ * blocks * lines * problem_.dest_w * kBlock;
}

// Whether the source lies in memory as the words that are multiplied.
bool ConvStream::lies_as_words() const {
  const StreamProblem& p = problem_;
  return p.planes == 0 ? p.source_type == DType::kFloat32 : p.source_type == DType::kBfloat16 && p.planes == 1;
}

// A tile of AMX wants 32 channels of a pixel side by side: of 16 its products take as long, which pays where few
// filters want a copy.
bool ConvStream::words_pay() const {
  constexpr int64_t kFewBlocks = 6;
  const StreamProblem& p = problem_;
  return kernels_->tile_rows == 1 || p.planes == 0 ||
         (p.tap_offsets.size() == 1 && p.weight.parts == 1 && blocks(p.weight.lanes) <= kFewBlocks);
}

void ConvStream::read_in_place(bool direct) {
  const bool pairs = problem_.planes > 0;
  direct_ = direct;
  unit_depth_ = pairs && !direct ? kPairUnit : source_lanes_;
  lanes_ = pairs ? unit_depth_ / 2 : source_lanes_;
  rows_kind_ = problem_.planar ? BrgemmRows::kPlanes : pairs && direct ? BrgemmRows::kHalfPixels : BrgemmRows::kPixels;
  units_ = ceil_div(problem_.weight.depth, unit_depth_);
}

// Where tiles find their rows: in a padded copy, in the source itself, or in images side by side.
TileChoice ConvStream::choose_rows() {
  TileChoice best = choose_padded_tiles();
  if (can_skip()) {
    read_in_place(true);
    const TileChoice skipping = choose_skipping_tiles(false);
    skips_ = skipping.cycles < best.cycles;
    if (skips_) best = skipping;
    read_in_place(skips_);
  }
  if (can_stand_abreast()) {
    const bool direct = direct_;
    read_in_place(false);
    const TileChoice abreast = choose_skipping_tiles(true);
    abreast_ = abreast.cycles < (kernels_->tile_rows > 1 ? kAbreastTileGains : kAbreastGains) * best.cycles;
    if (abreast_) skips_ = true, best = abreast;
    read_in_place(direct && !abreast_);
  }
  return best;
}

// Tiles run along rows, and on across them where rows follow each other without a gap. The cycles are those of one
// image and group, with packing.
TileChoice ConvStream::choose_padded_tiles() const {
  const StreamProblem& p = problem_;
  const int64_t columns = p.columns.phases.front().outputs;
  const bool flat = p.columns.length() == columns && (!direct_ || p.columns.source == columns);
  const int64_t length = flat ? outputs_ * columns : columns, lines = flat ? 1 : outputs_;
  const int64_t taps = static_cast<int64_t>(p.tap_offsets.size()), products = static_cast<int64_t>(products_.size());
  TileChoice choice =
      choose_tiles(*kernels_, length, dest_blocks_, std::min(taps * lanes_ * products, kTileSteps), 0, lines > 1);
  double packed = 0;
  for (const AxisClass& row : p.rows.classes) {
    for (const AxisClass& column : p.columns.classes)
      packed += static_cast<double>((outputs_ + row.extra) * p.columns.length(column));
  }
  choice.cycles = static_cast<double>(lines) * tiles_cycles(*kernels_, length, dest_blocks_, choice.nb,
                                                            taps * lanes_ * units_ * products, lines > 1) +
                  (direct_ ? 0 : packed * static_cast<double>(units_) * (p.planar ? kPlanePackCycles : kPackCycles));
  return choice;
}

// Whether a source that is packed could be read where it lies, but for what it would be padded with.
bool ConvStream::can_skip() const {
  return !direct_ && kernels_->tile_rows == 1 && lies_as_words() && can_leave_padding_out();
}

bool ConvStream::can_leave_padding_out() const {
  const StreamProblem& p = problem_;
  const bool zeros = p.rows.mode == PaddingMode::kZeros && p.columns.mode == PaddingMode::kZeros;
  const bool inside = p.rows.inside() && p.columns.inside();
  if (!(zeros || inside) || outputs_ * p.columns.outputs() > kMostListed) return false;
  const size_t covers = runs_of(p.rows).size() * runs_of(p.columns).size();
  const int64_t lists = p.weight.parts > 1 ? dest_blocks_ : 1;  // see rounds_differ()
  return static_cast<int64_t>(covers * p.tap_offsets.size()) * source_blocks_ * lists <= kMostEntries;
}

// Whether a tile's images, of some of their channels, fit L2 together.
bool ConvStream::can_stand_abreast() const {
  const StreamProblem& p = problem_;
  const int64_t images = std::min<int64_t>(p.images, kernels_->rows[0]);
  const double unit = static_cast<double>(images * p.rows.source * p.columns.source * kBlock * planes_) * sizeof(float);
  return images > 1 && !p.planar && unit <= kScratchShare / 2 * l2_bytes() && can_leave_padding_out();
}

// The cycles without padding, of a source that is read where it lies or of images that are packed `abreast`. The
// narrowest tiles that are not much worse than the best: they leave the most to share out.
TileChoice ConvStream::choose_skipping_tiles(bool abreast) const {
  const StreamProblem& p = problem_;
  const std::vector<AxisRun> rows = runs_of(p.rows), columns = runs_of(p.columns);
  const double images = static_cast<double>(p.images);
  const auto cycles_of = [&](int nb) {
    double cycles = 0;
    for (const AxisRun& row : rows) {
      for (const AxisRun& column : columns) {
        const int64_t taps = static_cast<int64_t>((row.tap_end - row.tap) * (column.tap_end - column.tap));
        const double lines = abreast ? static_cast<double>(row.count * column.count) / images
                                     : static_cast<double>(std::min(row.count, column.count));
        const int64_t length = abreast ? p.images : std::max(row.count, column.count);
        cycles += lines * tiles_cycles(*kernels_, length, dest_blocks_, nb, taps * lanes_ * units_);
      }
    }
    if (abreast) return cycles + kPackCycles * static_cast<double>(p.rows.source * p.columns.source * units_);
    return p.columns.step() > 1 ? cycles * kStridedSource : cycles;
  };
  TileChoice choice;
  for (int nb = static_cast<int>(std::min<int64_t>(kernels_->blocks, dest_blocks_)); nb > 0; --nb) {
    if (group_blocks(dest_blocks_, nb) != nb) continue;
    const double cycles = cycles_of(nb), best = choice.cycles == 0 ? cycles : choice.cycles;
    if (cycles < 1.05 * best) choice.nb = nb;
    choice.cycles = std::min(cycles, best);
  }
  return choice;
}

// How much of the problem one task takes, from the shape and the CPU alone: the channels packed at once decide in which
// order products are added.
void ConvStream::choose_blocking() {
  const StreamProblem& p = problem_;
  const int64_t wanted = times(std::min(kTasks, static_cast<int64_t>(p.flops / kLeastFlops)), p.cut);
  choose_pixels();
  cut_pixels(wanted);
  choose_chunk();
  rounds_ = LaneRounds(p.weight, step_, rounds_differ() && step_ > 1 && blocks_by_group() > 1);
  tiles_round_ = tiles_round_ && !rounds_.by_group();
  const int64_t steps = ceil_div(dest_blocks_, rounds_.least_split()), count = pixel_tasks();
  // All pixels in one task: then every task reads all of them, and as many as there are threads will do. Of 22 instead
  // of two, each thread lost 12 us a task where cores share no cache (1024 channels from 256 at 14x14, Zen 5): in a
  // program, whose threads take other tasks each time, and not when such a cut is measured.
  const int64_t splits = count == 1 ? threads_ : wanted / 2 / count;
  split_blocks_ = even(steps, ceil_div(steps, std::clamp<int64_t>(splits, 1, steps))) * rounds_.least_split();
  cut_for_threads();
  image_groups_ = ceil_div(p.images, group_images_);
  bands_ = ceil_div(outputs_, band_);
  splits_ = ceil_div(dest_blocks_, split_blocks_);
  packs_own_ = image_groups_ * bands_ == 1 && !p.keeps;
  panel_blocks_ = packs_own_ ? split_blocks_ : dest_blocks_;
}

// What a unit of one image fills of a cache, for so many rows of outputs.
double ConvStream::unit_bytes(int64_t band) const {
  const Axis &rows = problem_.rows, &columns = problem_.columns;
  if (abreast_) return static_cast<double>(rows.source * columns.source * lanes_ * planes_) * 4;
  const double classes = static_cast<double>(rows.classes.size() * columns.classes.size());
  const double lines = skips_ ? static_cast<double>(columns.step()) : 1;  // with those that stay empty
  return lines * classes * static_cast<double>(band + rows.extra()) *
         static_cast<double>(columns.length() * lanes_ * planes_) * 4;
}

double ConvStream::all_bytes() const { return unit_bytes(band_) * static_cast<double>(units_); }

int64_t ConvStream::images_together() const { return abreast_ ? even(problem_.images, kernels_->rows[step_ - 1]) : 1; }

int64_t ConvStream::pixel_tasks() const {
  return problem_.groups * ceil_div(problem_.images, group_images_) * ceil_div(outputs_, band_);
}

// The rows of an image, or the images, that make fetching the weights cheap and fit L2 if they can.
void ConvStream::choose_pixels() {
  const StreamProblem& p = problem_;
  const double weight_bytes =
      static_cast<double>(p.weight.depth * p.weight.lanes) * static_cast<double>(p.tap_offsets.size()) * 4;
  const int64_t columns = p.columns.outputs(), goal = weight_bytes > 1e6 ? 2 * kGroupPixels : kGroupPixels;
  const double scratch = kScratchShare * l2_bytes();
  band_ = outputs_;
  group_images_ = 1;
  if (!abreast_ && all_bytes() > scratch) {
    const int64_t least = std::min(outputs_, ceil_div(goal, columns));
    while (band_ > least && all_bytes() > scratch) band_ = std::max(least, band_ * 3 / 4);
  }
  if (band_ < outputs_) return;
  const int64_t together = images_together(), tiles = ceil_div(goal, outputs_ * columns * together);
  const int64_t fitting = abreast_ ? static_cast<int64_t>(scratch / unit_bytes(band_)) / together : tiles;
  group_images_ = std::min(p.images, std::clamp<int64_t>(fitting, 1, tiles) * together);
}

// More tasks while they stay worth their while.
void ConvStream::cut_pixels(int64_t wanted) {
  const StreamProblem& p = problem_;
  const int64_t columns = p.columns.outputs(), together = images_together();
  while (pixel_tasks() < wanted && group_images_ > together && group_images_ * outputs_ * columns >= 2 * kLeastPixels) {
    group_images_ = ceil_div(ceil_div(group_images_, together), 2) * together;
  }
  while (pixel_tasks() < wanted && band_ > 1 && !abreast_ && band_ * columns >= 2 * kLeastPixels)
    band_ = ceil_div(band_, 2);
  if (p.weight.parts > 1) {  // in one chunk, see rounds_differ()
    const int64_t fitting = static_cast<int64_t>(kScratchShare * l2_bytes() / all_bytes());
    group_images_ = std::clamp(fitting, int64_t{1}, group_images_);
  }
  group_images_ = even(p.images, group_images_);
  band_ = even(outputs_, band_);
}

// What lies in memory is read in chunks too, if it would leave L2 before the next filters want it. Not of pairs, whose
// units share panels: their caches are large.
void ConvStream::choose_chunk() {
  const double bytes = unit_bytes(band_) * static_cast<double>(group_images_);
  const bool leaves = problem_.planes == 0 && bytes * static_cast<double>(units_) > kStaysShare * l2_bytes();
  chunk_ = std::clamp(static_cast<int64_t>(kScratchShare * l2_bytes() / bytes), int64_t{1}, units_);
  chunk_ = direct_ && !leaves ? units_ : even(units_, chunk_);
  chunks_ = ceil_div(units_, chunk_);
}

// An estimate of what a task takes: products at nine tenths of two multiply-adds a cycle, tiles of AMX eight times as
// fast, packing, fetching the weights from L2, and starting at all.
double ConvStream::task_cycles(int64_t images, int64_t rows, int64_t blocks) const {
  const StreamProblem& p = problem_;
  const double share = static_cast<double>(images * rows) / static_cast<double>(p.images * outputs_) *
                       static_cast<double>(blocks) / static_cast<double>(dest_blocks_ * p.groups);
  const double pixels = static_cast<double>(images * rows * p.columns.outputs());
  const double weights = static_cast<double>(p.weight.depth * blocks) * static_cast<double>(p.tap_offsets.size()) * 64;
  const double each = kernels_->tile_rows > 1 ? 0.125 : 0.5;
  const double products = p.planes > 0 ? static_cast<double>(products_.size()) * each : 1;
  return products * p.flops * share / (3.6 * kernels_->lanes) +
         (direct_ ? 0 : pixels * static_cast<double>(units_ * lanes_ * planes_) / 2) + weights / 16 + 3000;
}

// Smaller tasks, where that lets the threads end together: which pixels and filters a task takes decides no bits, but
// for the pixels when an epilogue adds something up over them.
void ConvStream::cut_for_threads() {
  const StreamProblem& p = problem_;
  const int64_t least = rounds_.least_split(), steps = ceil_div(dest_blocks_, least);
  const int64_t images = group_images_, band = band_, split = split_blocks_;
  // Abreast, images are the rows of tiles, which few of them leave waiting for their own products.
  const auto image_cycles = [&](int64_t group) {
    return tiles_cycles(*kernels_, group, step_, step_, kTileSteps) / static_cast<double>(group);
  };
  const auto time = [&](int64_t group, int64_t rows, int64_t blocks) {
    const int64_t cuts =
        p.groups * ceil_div(p.images, group) * ceil_div(outputs_, rows) * ceil_div(dest_blocks_, blocks);
    const double longest = task_cycles(group, rows, blocks);
    const double whole =
        static_cast<double>(p.groups * p.images * outputs_ * dest_blocks_) / static_cast<double>(group * rows * blocks);
    return makespan(longest * whole, longest, cuts, threads_) *
           (abreast_ ? image_cycles(group) / image_cycles(images) : 1);
  };
  double best = 0.985 * time(images, band, split);  // less is not worth more packing
  for (int64_t group = images;; group = even(p.images, group - 1)) {
    for (int64_t rows = band;; rows = even(outputs_, rows - 1)) {
      for (int64_t step = split / least;; step = even(steps, step - 1)) {
        const double now = time(group, rows, step * least);
        if (now < best) best = now, group_images_ = group, band_ = rows, split_blocks_ = step * least;
        if (step == 1) break;
      }
      if (rows == 1 || p.epilogue || abreast_) break;
    }
    if (group <= 1 || p.epilogue) break;
  }
}

}  // namespace fovea
