#include "ops/conv_depthwise.h"

#include <algorithm>
#include <cstring>

#include "kernels/depthwise/depthwise.h"
#include "kernels/layout/layout.h"
#include "ops/parallel.h"
#include "simd/macros.h"

namespace fovea {

namespace {

constexpr double kBandBytes = 64 * 1024;  // packed rows of one block of channels
constexpr int64_t kLeastBlocks = 8;       // of outputs: below so many planes each is cut into bands
constexpr int64_t kSumPixels = 512;       // that one register adds up, in the weight gradient
constexpr int64_t kParts = 16;            // of a batch, in the weight gradient
constexpr int64_t kMostTaps = 1 << 20;    // of all regions together, else packed

// Outputs of a phase that all have the same taps.
struct Region {
  AxisRun rows, columns;
  int64_t base = 0;                // floats to what the first tap of its first output reads
  std::vector<DepthwiseTap> taps;  // x counts from there
};

// Taps in the order in which they read, and the runs of them that read neighbouring pixels.
void order(Region* region) {
  std::vector<DepthwiseTap>& taps = region->taps;
  std::sort(taps.begin(), taps.end(), [](const DepthwiseTap& a, const DepthwiseTap& b) { return a.x < b.x; });
  region->base = taps.empty() ? 0 : taps[0].x;
  for (DepthwiseTap& tap : taps) tap.x -= region->base;
  for (size_t i = taps.size(); i-- > 0;) {
    const bool next = i + 1 < taps.size() && taps[i + 1].x == taps[i].x + kBlock;
    taps[i].run = next ? std::min(kMostRun, taps[i + 1].run + 1) : 1;
  }
}

// Bands of rows [first, first + count) of some blocks of channels of an image.
struct BandTask {
  int64_t image, block, blocks, first, count;
};

// What the three operators share: blocks of channels of `images`, in bands of rows, in place or packed.
struct Bands {
  Axis rows, columns;
  PackedBand pack;
  bool packed = false;
  int64_t images = 0, channels = 0, group = 1, taps_w = 1, band = 1, bands = 1;
  std::vector<int64_t> tap_offsets;

  int64_t channel_blocks() const { return blocks(channels); }
  int64_t planes() const { return images * channel_blocks(); }
  int64_t taps() const { return static_cast<int64_t>(tap_offsets.size()); }
  int64_t source_floats() const { return rows.source * columns.source * kBlock; }
  int64_t scratch_floats() const { return packed ? apart(pack.floats()) : 0; }
  int64_t weight_floats() const { return taps() * group * kBlock; }  // of one block of channels
  // From one output row, one output, to the next.
  int64_t row_floats() const { return (packed ? pack.pitch() : rows.step() * columns.source) * kBlock; }
  int64_t step_floats() const { return (packed ? 1 : columns.step()) * kBlock; }

  Status plan(int64_t least_tasks, int64_t most_pixels) {
    if (rows.phases.empty() || columns.phases.empty()) {  // every output is zero
      bands = 0;
      return {};
    }
    packed = rows.mode != PaddingMode::kZeros || !pays_in_place();
    band = rows.outputs();
    if (packed) {
      const double row = static_cast<double>(rows.classes.size() * columns.classes.size()) *
                         static_cast<double>(columns.length()) * 64;
      if (row * static_cast<double>(1 + rows.extra()) > 1e12)
        return {Code::kMemory, "convolution workspace would exceed 1 TB"};
      band = std::clamp<int64_t>(static_cast<int64_t>(kBandBytes / std::max(row, 64.0)) - rows.extra(), 1, band);
    }
    band = std::min(band, std::max<int64_t>(1, most_pixels / columns.outputs()));
    band = std::min(band, ceil_div(rows.outputs(), ceil_div(least_tasks, planes())));
    bands = ceil_div(rows.outputs(), band);
    if (packed) pack = PackedBand(rows, columns, kBlock, band);
    return {};
  }
  // From the first row that an output reads to the last.
  int64_t rows_read_at_once() const {
    int64_t first = rows.source, last = -1;
    for (const AxisPhase& phase : rows.phases) {
      for (const AxisTap& tap : phase.taps)
        first = std::min(first, rows.where(tap)), last = std::max(last, rows.where(tap));
    }
    return std::max<int64_t>(0, last - first + 1);
  }
  // Whether most outputs have all of their taps, and few are in regions of their own.
  bool pays_in_place() const {
    const AxisPhase &row = rows.phases.front(), &column = columns.phases.front();
    const auto row_runs = runs_inside(rows, row), column_runs = runs_inside(columns, column);
    const auto longest = [](const std::vector<AxisRun>& runs) {
      int64_t count = 0;
      for (const AxisRun& run : runs) count = std::max(count, run.count);
      return count;
    };
    return 3 * longest(row_runs) * longest(column_runs) >= row.outputs * column.outputs &&
           static_cast<int64_t>(row_runs.size() * column_runs.size()) * taps() <= kMostTaps;
  }
  // The largest first: it reads row after row, and what the columns at the edges read is then in the cache. One region
  // when the operand is packed.
  std::vector<Region> regions(const AxisPhase& row, const AxisPhase& column) const {
    if (packed)
      return {region(row, {0, row.outputs, 0, row.taps.size()}, column, {0, column.outputs, 0, column.taps.size()})};
    std::vector<Region> list;
    for (const AxisRun& rows_run : runs_inside(rows, row)) {
      for (const AxisRun& columns_run : runs_inside(columns, column))
        list.push_back(region(row, rows_run, column, columns_run));
    }
    std::stable_sort(list.begin(), list.end(), [](const Region& a, const Region& b) {
      return a.rows.count * a.columns.count > b.rows.count * b.columns.count;
    });
    return list;
  }
  Region region(const AxisPhase& row, const AxisRun& rows_run, const AxisPhase& column,
                const AxisRun& columns_run) const {
    Region region{rows_run, columns_run, 0, {}};
    for (size_t i = rows_run.tap; i < rows_run.tap_end; ++i) {
      for (size_t j = columns_run.tap; j < columns_run.tap_end; ++j) {
        const AxisTap &r = row.taps[i], &c = column.taps[j];
        const int64_t at = packed ? pack.offset(r, c)
                                  : ((rows.where(r) + rows.step() * rows_run.first) * columns.source +
                                     columns.where(c) + columns.step() * columns_run.first) *
                                        kBlock;
        region.taps.push_back({at, (r.tap * taps_w + c.tap) * group * kBlock});
      }
    }
    order(&region);
    return region;
  }
  // The plane, or the packed band of it.
  const float* prepare(const float* source, int64_t first, int64_t count, float* scratch) const {
    if (!packed) return source;
    pack.pack(source, first, count, scratch);
    return scratch;
  }
  const Bfloat16* prepare(const Bfloat16* source, int64_t first, int64_t count, float* scratch) const {
    if (!packed) return source;
    Bfloat16* const halves = reinterpret_cast<Bfloat16*>(scratch);
    pack.pack_halves(source, first, count, halves);
    return halves;
  }
  // What a task reads, for whoever works on the one before.
  DepthwiseAhead ahead(Values source, const BandTask& task) const {
    const int64_t row = rows.step() * columns.source * kBlock;
    const int64_t first = std::min(source_floats(), task.first * row);
    const int64_t last = std::min(source_floats(), (task.first + task.count) * row);
    const Values plane = source + (task.image * channel_blocks() + task.block) * source_floats();
    const auto at = [&](int64_t element) { return reinterpret_cast<const char*>((plane + element).at()); };
    return {at(first), at((task.blocks - 1) * source_floats() + last),
            rows.step() * columns.step() * kBlock * source.bytes()};
  }
  // The rows [*first, *end) of a region in a band: whether there are any. *x: what the first tap of the first reads.
  template <class T>
  bool cut(const Region& region, int64_t band_first, int64_t band_count, const T** x, int64_t* first,
           int64_t* end) const {
    *first = std::max(band_first, region.rows.first);
    *end = std::min(band_first + band_count, region.rows.first + region.rows.count);
    *x += region.base + (*first - (packed ? band_first : region.rows.first)) * row_floats();
    return *first < *end;
  }
};

// Weights [tap][q][16] of one block: of operand lane l for the output in lane l ^ q. Forward the operand is the input,
// whose channel is the weight's second side; in the input gradient it is the output, whose channel is the first.
void pack_block(const Bands& bands, const float* weight, int64_t block, bool forward, float* panel) {
  const int64_t taps = bands.taps(), group = bands.group, filter = group * taps;
  const int64_t lanes = std::min<int64_t>(kBlock, bands.channels - block * kBlock);
  for (int64_t tap = 0; tap < taps; ++tap) {
    const float* from = weight + block * kBlock * filter + bands.tap_offsets[static_cast<size_t>(tap)];
    for (int64_t q = 0; q < group; ++q, panel += kBlock) {
      for (int64_t lane = 0; lane < kBlock; ++lane) {
        const int64_t k = forward ? lane ^ q : lane, c = (forward ? lane : lane ^ q) & (group - 1);
        panel[lane] = lane < lanes ? from[k * filter + c * taps] : 0;
      }
    }
  }
}

int group_index(int64_t group) { return group == 1 ? 0 : group == 2 ? 1 : group == 4 ? 2 : 3; }

std::string describe_bands(const Bands& bands, int64_t tasks) {
  return std::string("depthwise ") + depthwise_kernels().isa + (bands.packed ? ", packed" : ", in place") +
         (bands.group > 1 ? ", groups of " + std::to_string(bands.group) : "") + ", rows " +
         std::to_string(bands.band) + ", tasks " + std::to_string(tasks);
}

// Plain x as blocked, for a call that did not go through the planner's layouts.
struct Blocked {
  bool needed = false;
  int64_t images = 0, channels = 0, pixels = 0;

  size_t floats() const { return needed ? static_cast<size_t>(images * blocks(channels) * kBlock * pixels) : 0; }
  Status run(const RunContext& context, const float* from, float* to) const {
    if (!needed) return {};
    const int64_t each = blocks(channels);
    return for_tasks(context, images * each, [&](int64_t task) {
      const int64_t first = task % each * kBlock;
      layout_kernels().to_blocked(from + (task / each * channels + first) * pixels, pixels,
                                  static_cast<int>(std::min<int64_t>(kBlock, channels - first)), pixels,
                                  to + task * kBlock * pixels);
    });
  }
};

// Forward, and the input gradient: pixels of all phases of each band.
class Depthwise : public Operation {
 public:
  struct Target {
    int64_t h, w;
    bool forward, bias, relu;
    DType type;  // of source and destination
  };
  Depthwise(Bands bands, Blocked blocked, const Target& target, int threads)
      : bands_(std::move(bands)),
        blocked_(blocked),
        target_(target),
        threads_(threads),
        per_task_(
            bands_.packed || bands_.bands > 1
                ? 1
                : std::min(bands_.channel_blocks(), units_per_task(bands_.band * bands_.columns.outputs() * kBlock))),
        block_tasks_(ceil_div(bands_.channel_blocks(), per_task_)) {
    for (const AxisPhase& row : bands_.rows.phases) {
      for (const AxisPhase& column : bands_.columns.phases)
        phases_.push_back({row, column, bands_.regions(row, column)});
    }
    gaps_ = bands_.columns.step() > 1 || phases_.size() > 1;
    const double bytes =
        static_cast<double>(target.type == DType::kFloat32 ? 4 : 2) * static_cast<double>(bands_.planes());
    const double read = bytes * static_cast<double>(bands_.source_floats());
    const double written = bytes * static_cast<double>(target.h * target.w * kBlock);
    asks_ = gaps_ || outgrows_caches(read + written);
    past_caches_ = target.type == DType::kFloat32 && stored_past_caches(written);
    reach_ = bands_.rows_read_at_once();
  }

  size_t workspace_bytes() const override {
    const int64_t floats =
        bands_.channel_blocks() * (bands_.weight_floats() + kBlock) + threads_ * bands_.scratch_floats();
    return (blocked_.floats() + static_cast<size_t>(floats)) * sizeof(float);
  }

  Status run(const RunContext& context) const override {
    float* blocked = reinterpret_cast<float*>(context.workspace);
    float* weight = blocked + blocked_.floats();
    float* bias = weight + bands_.channel_blocks() * bands_.weight_floats();
    float* scratch = bias + bands_.channel_blocks() * kBlock;
    FOVEA_RETURN_IF_ERROR(blocked_.run(context, context.in<float>(0), blocked));
    const Values source = blocked_.needed ? Values(blocked) : Values(context.inputs[0], target_.type);
    const MutableValues dest{context.outputs[0], target_.type};
    if (bands_.rows.holes || bands_.columns.holes) {
      const int64_t plane = target_.h * target_.w * kBlock;
      FOVEA_RETURN_IF_ERROR(for_tasks(context, bands_.planes(), [&](int64_t task) {
        std::memset((dest + task * plane).at(), 0, static_cast<size_t>(plane * dest.bytes()));
      }));
    }
    FOVEA_RETURN_IF_ERROR(for_ranges(
        context, bands_.channel_blocks(), units_per_task(4 * bands_.weight_floats()), [&](int64_t begin, int64_t end) {
          for (int64_t block = begin; block < end; ++block)
            pack_block(bands_, context.in<float>(1), block, target_.forward, weight + block * bands_.weight_floats());
        }));
    for (int64_t i = 0; target_.bias && i < bands_.channel_blocks() * kBlock; ++i)
      bias[i] = i < bands_.channels ? context.in<float>(2)[i] : 0;
    context.pool.parallel_for(tasks(), [&](int64_t task, int thread) {
      if (context.cancelled.load(std::memory_order_relaxed)) return;
      run_task(this->task(task), asks_ ? source_ahead(source, this->task(task)) : DepthwiseAhead(),
               gaps_ && task + 1 < tasks() ? dest_ahead(dest, this->task(task + 1)) : DepthwiseAhead(), source, weight,
               target_.bias ? bias : nullptr, dest, scratch + thread * bands_.scratch_floats());
    });
    return context.cancelled.load(std::memory_order_relaxed) ? Status(Code::kAborted, "cancelled") : Status();
  }

  std::string describe() const override { return describe_bands(bands_, tasks()); }

 private:
  struct Phase {
    AxisPhase row, column;
    std::vector<Region> regions;
  };

  int64_t tasks() const { return bands_.images * block_tasks_ * bands_.bands; }
  BandTask task(int64_t index) const {
    const int64_t first = index % bands_.bands * bands_.band, plane_task = index / bands_.bands;
    const int64_t block = plane_task % block_tasks_ * per_task_;
    return {plane_task / block_tasks_, block, std::min(per_task_, bands_.channel_blocks() - block), first,
            std::min(bands_.band, bands_.rows.outputs() - first)};
  }

  // What lies some rows behind what the task reads, in the end of the next one. A whole plane behind, lines of large
  // planes would leave the caches before their turn: 96 channels at 112×112 with stride 2 took 2.2 instead of 1.5 ms.
  DepthwiseAhead source_ahead(Values source, const BandTask& task) const {
    constexpr int64_t kStepsAhead = 2;
    const int64_t rows = reach_ + kStepsAhead * bands_.rows.step();
    const DepthwiseAhead here = bands_.ahead(source, task);
    const ptrdiff_t distance =
        std::min<ptrdiff_t>(here.end - here.at, rows * bands_.columns.source * kBlock * source.bytes());
    const Values end = source + bands_.planes() * bands_.source_floats();
    return {here.at + distance, std::min(here.end + distance, reinterpret_cast<const char*>(end.at())), here.bytes};
  }

  // Pixels of float32 are whole lines, which one store fills: asking for them was 1.01 to 1.16 times slower (Zen 5).
  DepthwiseAhead dest_ahead(MutableValues dest, const BandTask& task) const {
    if (bands_.bands > 1 || !dest.half()) return {};
    const int64_t plane = target_.h * target_.w * kBlock;
    const MutableValues first = dest + (task.image * bands_.channel_blocks() + task.block) * plane;
    return {reinterpret_cast<const char*>(first.at()),
            reinterpret_cast<const char*>((first + task.blocks * plane).at()), kBlock * dest.bytes()};
  }

  void run_task(const BandTask& task, const DepthwiseAhead& x_ahead, const DepthwiseAhead& y_ahead, Values source,
                const float* weight, const float* bias, MutableValues dest, float* scratch) const {
    const int group = group_index(bands_.group);
    if (dest.half())
      run_task(depthwise_bf16_kernels()->forward[group], task, x_ahead, y_ahead, source.halves(), weight, bias,
               dest.halves(), scratch);
    else
      run_task(depthwise_kernels().forward[group], task, x_ahead, y_ahead, source.floats(), weight, bias, dest.floats(),
               scratch);
  }

  // x_ahead, y_ahead: what the thread will read and write next.
  template <class T>
  void run_task(void (*kernel)(const DepthwiseCallOf<T>&), const BandTask& task, DepthwiseAhead x_ahead,
                DepthwiseAhead y_ahead, const T* source, const float* weight, const float* bias, T* dest,
                float* scratch) const {
    const int64_t plane = task.image * bands_.channel_blocks() + task.block;
    const T* const operand = bands_.prepare(source + plane * bands_.source_floats(), task.first, task.count, scratch);
    DepthwiseCallOf<T> call{};
    call.weight = weight + task.block * bands_.weight_floats();
    call.bias = bias ? bias + task.block * kBlock : nullptr;
    call.relu = target_.relu;
    call.past_caches = past_caches_;
    call.x_ahead = &x_ahead;
    call.y_ahead = &y_ahead;
    call.planes = task.blocks;
    call.x_plane = bands_.source_floats();
    call.y_plane = target_.h * target_.w * kBlock;
    call.weight_plane = bands_.weight_floats();
    for (const Phase& phase : phases_) {
      const int64_t y_row = phase.row.step * target_.w * kBlock, y_step = phase.column.step * kBlock;
      T* const y = dest + ((plane * target_.h + phase.row.first) * target_.w + phase.column.first) * kBlock;
      for (const Region& region : phase.regions) {
        int64_t row, end;
        call.x = operand;
        if (!bands_.cut(region, task.first, task.count, &call.x, &row, &end)) continue;
        call.taps = region.taps.data();
        call.tap_count = static_cast<ptrdiff_t>(region.taps.size());
        call.y = y + row * y_row + region.columns.first * y_step;
        call.x_row = bands_.row_floats(), call.x_step = bands_.step_floats();
        call.y_row = y_row, call.y_step = y_step;
        call.rows = end - row, call.count = region.columns.count;
        if (call.rows > call.count && call.count < kBlock / 2) {  // tiles along the longer side are fuller
          std::swap(call.rows, call.count);
          std::swap(call.x_row, call.x_step);
          std::swap(call.y_row, call.y_step);
        }
        kernel(call);
      }
    }
    if (past_caches_) stores_are_seen();
  }

  Bands bands_;
  Blocked blocked_;
  Target target_;
  int threads_;
  int64_t per_task_, block_tasks_;  // blocks of channels of a task: a plane of 7x7 is less work than handing it out
  std::vector<Phase> phases_;
  int64_t reach_;  // rows that an output reads
  // With a stride, taps or phases leave gaps in what they read or write at a time, and what comes next is asked for. So
  // is what comes from memory: the hardware follows dense planes, too late (144 channels at 56×56: 0.75 instead of 1.3
  // ms), but from the caches it is as fast.
  bool gaps_, asks_;
  bool past_caches_;  // see DepthwiseCallOf
};

// Sums [tap][q][16] of one block and its bias: of x in lane l with dy in lane l ^ q.
class DepthwiseGradWeight : public Operation {
 public:
  DepthwiseGradWeight(Bands bands, Blocked blocked, DType type, bool bias, int threads)
      : bands_(std::move(bands)),
        blocked_(blocked),
        type_(type),
        bias_(bias),
        threads_(threads),
        regions_(bands_.regions(bands_.rows.phases[0], bands_.columns.phases[0])),
        parts_(std::min(bands_.images, ceil_div(kParts, bands_.channel_blocks()))),
        images_(bands_.packed || bands_.bands > 1
                    ? 1
                    : std::max<int64_t>(1, kSumPixels / (bands_.rows.outputs() * bands_.columns.outputs()))) {}

  size_t workspace_bytes() const override {
    const int64_t sums = bands_.channel_blocks() * parts_ * sum_floats();
    return (blocked_.floats() + static_cast<size_t>(sums + threads_ * bands_.scratch_floats())) * sizeof(float);
  }

  Status run(const RunContext& context) const override {
    float* blocked = reinterpret_cast<float*>(context.workspace);
    float* sums = blocked + blocked_.floats();
    float* scratch = sums + bands_.channel_blocks() * parts_ * sum_floats();
    FOVEA_RETURN_IF_ERROR(blocked_.run(context, context.in<float>(0), blocked));
    const Values x = blocked_.needed ? Values(blocked) : Values(context.inputs[0], type_);
    const Values dy{context.inputs[1], type_};
    context.pool.parallel_for(bands_.channel_blocks() * parts_, [&](int64_t task, int thread) {
      if (context.cancelled.load(std::memory_order_relaxed)) return;
      const int64_t block = task % bands_.channel_blocks(), part = task / bands_.channel_blocks();
      run_part(block, part, x, dy, scratch + thread * bands_.scratch_floats(),
               sums + (block * parts_ + part) * sum_floats());
    });
    if (context.cancelled.load(std::memory_order_relaxed)) return {Code::kAborted, "cancelled"};
    return for_ranges(context, bands_.channel_blocks(), units_per_task(parts_ * sum_floats()),
                      [&](int64_t begin, int64_t end) {
                        for (int64_t block = begin; block < end; ++block) {
                          float* total = sums + block * parts_ * sum_floats();
                          for (int64_t part = 1; part < parts_; ++part) {
                            for (int64_t i = 0; i < sum_floats(); ++i) total[i] += total[part * sum_floats() + i];
                          }
                          write(block, total, context.out<float>(0), bias_ ? context.out<float>(1) : nullptr);
                        }
                      });
  }

  std::string describe() const override { return describe_bands(bands_, bands_.channel_blocks() * parts_); }

 private:
  int64_t sum_floats() const { return bands_.weight_floats() + kBlock; }

  int64_t dy_floats() const { return bands_.rows.outputs() * bands_.columns.outputs() * kBlock; }

  void run_part(int64_t block, int64_t part, Values x, Values dy, float* scratch, float* sums) const {
    std::fill_n(sums, sum_floats(), 0.f);
    const int64_t end_image = bands_.images * (part + 1) / parts_;
    const auto band_of = [&](int64_t image, int64_t first) {
      return BandTask{image, block, 1, first, std::min(bands_.band, bands_.rows.outputs() - first)};
    };
    for (BandTask band = band_of(bands_.images * part / parts_, 0), next; band.image < end_image; band = next) {
      const int64_t row = band.first + band.count;
      next = row < bands_.rows.outputs() ? band_of(band.image, row) : band_of(band.image + images_, 0);
      const bool last = next.image >= end_image;
      const DepthwiseAhead x_ahead = last ? DepthwiseAhead() : bands_.ahead(x, next);
      const DepthwiseAhead dy_ahead = last ? DepthwiseAhead() : gradient_ahead(dy, next);
      const int64_t images = std::min(images_, end_image - band.image);
      if (type_ == DType::kBfloat16)
        run_band(depthwise_bf16_kernels()->gradient, band, images, x.halves(), dy.halves(), x_ahead, dy_ahead, scratch,
                 sums);
      else
        run_band(depthwise_kernels().gradient, band, images, x.floats(), dy.floats(), x_ahead, dy_ahead, scratch, sums);
    }
  }

  // What a band reads of dy, for whoever works on the one before.
  DepthwiseAhead gradient_ahead(Values dy, const BandTask& band) const {
    const Values plane = dy + (band.image * bands_.channel_blocks() + band.block) * dy_floats();
    const auto at = [&](int64_t row) {
      return reinterpret_cast<const char*>((plane + row * bands_.columns.outputs() * kBlock).at());
    };
    return {at(band.first), at(band.first + band.count), kBlock * dy.bytes()};
  }

  // The same band of some images.
  template <class T>
  void run_band(void (*const* kernels)(const DepthwiseGradCallOf<T>&), const BandTask& band, int64_t images, const T* x,
                const T* dy, const DepthwiseAhead& x_ahead, const DepthwiseAhead& dy_ahead, float* scratch,
                float* sums) const {
    const int64_t plane = band.image * bands_.channel_blocks() + band.block;
    const T* const operand = bands_.prepare(x + plane * bands_.source_floats(), band.first, band.count, scratch);
    DepthwiseGradCallOf<T> call{};
    call.x_row = bands_.row_floats(), call.x_step = bands_.step_floats();
    call.dy_row = bands_.columns.outputs() * kBlock;
    call.images = images;
    call.x_image = bands_.channel_blocks() * bands_.source_floats();
    call.dy_image = bands_.channel_blocks() * dy_floats();
    call.sums = sums;
    call.bias = bias_ ? sums + bands_.weight_floats() : nullptr;
    call.x_ahead = x_ahead, call.dy_ahead = dy_ahead;
    for (const Region& region : regions_) {
      int64_t row, end;
      call.x = operand;
      if (!bands_.cut(region, band.first, band.count, &call.x, &row, &end)) continue;
      call.taps = region.taps.data();
      call.tap_count = static_cast<ptrdiff_t>(region.taps.size());
      call.dy = dy + plane * dy_floats() + row * call.dy_row + region.columns.first * kBlock;
      call.rows = end - row, call.count = region.columns.count;
      kernels[group_index(bands_.group)](call);
      call.x_ahead = call.dy_ahead = {};
    }
  }

  void write(int64_t block, const float* sums, float* dw, float* db) const {
    const int64_t taps = bands_.taps(), group = bands_.group, filter = group * taps;
    const int64_t lanes = std::min<int64_t>(kBlock, bands_.channels - block * kBlock);
    float* const to = dw + block * kBlock * filter;
    for (int64_t tap = 0; tap < taps; ++tap) {
      for (int64_t q = 0; q < group; ++q, sums += kBlock) {
        for (int64_t lane = 0; lane < lanes; ++lane)
          to[(lane ^ q) * filter + (lane & (group - 1)) * taps + bands_.tap_offsets[static_cast<size_t>(tap)]] =
              sums[lane];
      }
    }
    if (db) std::copy_n(sums, lanes, db + block * kBlock);
  }

  Bands bands_;
  Blocked blocked_;
  DType type_;  // of x and dy
  bool bias_;
  int threads_;
  std::vector<Region> regions_;
  int64_t parts_;
  int64_t images_;  // that one call takes: their sums stay in registers
};

Bands make_bands(const ConvGeometry& g) {
  Bands bands;
  bands.images = g.n;
  bands.channels = g.c;
  bands.group = g.c_group();
  bands.taps_w = g.s;
  bands.tap_offsets = g.tap_offsets();
  return bands;
}

Bands forward_bands(const ConvGeometry& g) {
  Bands bands = make_bands(g);
  bands.rows = forward_axis(g.h, g.p, g.r, g.stride_h, g.dilation_h, g.top, g.mode, AxisCopies::kShared);
  bands.columns = forward_axis(g.w, g.q, g.s, g.stride_w, g.dilation_w, g.left, g.mode, AxisCopies::kShared);
  return bands;
}

}  // namespace

bool supports_depthwise(const OpSpec&, const ConvGeometry& g) { return g.narrow_groups(); }

Status make_depthwise_forward(const OpSpec& spec, const ConvGeometry& g, std::unique_ptr<Operation>* operation) {
  Bands bands = forward_bands(g);
  FOVEA_RETURN_IF_ERROR(bands.plan(kLeastBlocks, g.p * g.q));
  const Blocked blocked{spec.inputs[0].layout == Layout::kPlain, g.n, g.c, g.h * g.w};
  const Depthwise::Target target{g.p,
                                 g.q,
                                 true,
                                 operand_at(spec.inputs, 2).present,
                                 spec.attributes.text("activation") == "relu",
                                 spec.outputs[0].dtype};
  operation->reset(new Depthwise(std::move(bands), blocked, target, spec.threads));
  return {};
}

Status make_depthwise_grad_input(const OpSpec& spec, const ConvGeometry& g, std::unique_ptr<Operation>* operation) {
  Bands bands = make_bands(g);
  bands.rows = gradient_axis(g.h, g.p, g.r, g.stride_h, g.dilation_h, g.top, AxisCopies::kShared);
  bands.columns = gradient_axis(g.w, g.q, g.s, g.stride_w, g.dilation_w, g.left, AxisCopies::kShared);
  FOVEA_RETURN_IF_ERROR(bands.plan(kLeastBlocks, g.h * g.w));
  const Depthwise::Target target{g.h, g.w, false, false, false, spec.outputs[0].dtype};
  operation->reset(new Depthwise(std::move(bands), {}, target, spec.threads));
  return {};
}

Status make_depthwise_grad_weight(const OpSpec& spec, const ConvGeometry& g, std::unique_ptr<Operation>* operation) {
  Bands bands = forward_bands(g);
  FOVEA_RETURN_IF_ERROR(bands.plan(1, kSumPixels));
  const Blocked blocked{spec.inputs[0].layout == Layout::kPlain, g.n, g.c, g.h * g.w};
  operation->reset(new DepthwiseGradWeight(std::move(bands), blocked, spec.inputs[0].dtype,
                                           operand_at(spec.outputs, 1).present, spec.threads));
  return {};
}

}  // namespace fovea
