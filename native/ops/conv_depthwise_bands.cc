#include "ops/conv_depthwise_bands.h"

#include <algorithm>

#include "kernels/layout/layout.h"

namespace fovea {

namespace {

constexpr double kBandBytes = 64 * 1024;  // packed rows of one block of channels
constexpr int64_t kMostTaps = 1 << 20;    // of all regions together, else packed

// Taps in the order in which they read, and the runs of them that read neighbouring pixels.
void order(DepthwiseRegion* region) {
  std::vector<DepthwiseTap>& taps = region->taps;
  std::sort(taps.begin(), taps.end(), [](const DepthwiseTap& a, const DepthwiseTap& b) { return a.x < b.x; });
  region->base = taps.empty() ? 0 : taps[0].x;
  for (DepthwiseTap& tap : taps) tap.x -= region->base;
  for (size_t i = taps.size(); i-- > 0;) {
    const bool next = i + 1 < taps.size() && taps[i + 1].x == taps[i].x + kBlock;
    taps[i].run = next ? std::min(kMostRun, taps[i + 1].run + 1) : 1;
  }
}

}  // namespace

Status DepthwiseBands::plan(int64_t least_tasks, int64_t most_pixels) {
  if (rows.phases.empty() || columns.phases.empty()) {  // every output is zero
    bands = 0;
    return {};
  }
  packed = whole_width == 0 && (rows.mode != PaddingMode::kZeros || !pays_in_place());
  band = rows.outputs();
  if (packed) {
    const double row =
        static_cast<double>(rows.classes.size() * columns.classes.size()) * static_cast<double>(columns.length()) * 64;
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

bool DepthwiseBands::can_take_whole_rows(int64_t most_pixels) const {
  if (group > 1 || rows.mode != PaddingMode::kZeros || rows.phases.size() != 1 || columns.phases.size() != 1)
    return false;
  const std::vector<AxisTap>& taps = columns.phases.front().taps;
  const int64_t width = static_cast<int64_t>(taps.size()), pixels = columns.outputs();
  if (width != taps_w || (width != 3 && width != 5 && width != 7) || pixels > most_pixels) return false;
  if (columns.step() != 1 || columns.source != pixels) return false;
  // From the left to the right, or rotated, around each pixel.
  for (int64_t i = 0; i < width; ++i) {
    const int64_t at = columns.where(taps[static_cast<size_t>(i)]) + (width - 1) / 2;
    if (at != i && at != width - 1 - i) return false;
  }
  return true;
}

// Whether most outputs have all of their taps, and few are in regions of their own.
bool DepthwiseBands::pays_in_place() const {
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

std::vector<DepthwiseRegion> DepthwiseBands::regions(const AxisPhase& row, const AxisPhase& column) const {
  if (packed)
    return {region(row, {0, row.outputs, 0, row.taps.size()}, column, {0, column.outputs, 0, column.taps.size()})};
  std::vector<DepthwiseRegion> list;
  for (const AxisRun& rows_run : runs_inside(rows, row)) {
    if (whole_width > 0) {
      list.push_back(region_of_whole_rows(row, rows_run, column));
      continue;
    }
    for (const AxisRun& columns_run : runs_inside(columns, column))
      list.push_back(region(row, rows_run, column, columns_run));
  }
  std::stable_sort(list.begin(), list.end(), [](const DepthwiseRegion& a, const DepthwiseRegion& b) {
    return a.rows.count * a.columns.count > b.rows.count * b.columns.count;
  });
  return list;
}

DepthwiseRegion DepthwiseBands::region(const AxisPhase& row, const AxisRun& rows_run, const AxisPhase& column,
                                       const AxisRun& columns_run) const {
  DepthwiseRegion region{rows_run, columns_run, 0, {}};
  for (size_t i = rows_run.tap; i < rows_run.tap_end; ++i) {
    for (size_t j = columns_run.tap; j < columns_run.tap_end; ++j) {
      const AxisTap &r = row.taps[i], &c = column.taps[j];
      const int64_t at = packed ? pack.offset(r, c)
                                : ((rows.where(r) + rows.step() * rows_run.first) * columns.source + columns.where(c) +
                                   columns.step() * columns_run.first) *
                                      kBlock;
      region.taps.push_back({at, (r.tap * taps_w + c.tap) * group * kBlock});
    }
  }
  order(&region);
  return region;
}

DepthwiseRegion DepthwiseBands::region_of_whole_rows(const AxisPhase& row, const AxisRun& rows_run,
                                                     const AxisPhase& column) const {
  DepthwiseRegion region{rows_run, {0, column.outputs, 0, column.taps.size()}, 0, {}};
  std::vector<AxisTap> across = column.taps, down(row.taps.begin() + static_cast<ptrdiff_t>(rows_run.tap),
                                                  row.taps.begin() + static_cast<ptrdiff_t>(rows_run.tap_end));
  const auto sort = [](const Axis& axis, std::vector<AxisTap>* taps) {
    std::sort(taps->begin(), taps->end(),
              [&axis](const AxisTap& a, const AxisTap& b) { return axis.where(a) < axis.where(b); });
  };
  sort(columns, &across);
  sort(rows, &down);
  for (const AxisTap& r : down) {
    const int64_t at = (rows.where(r) + rows.step() * rows_run.first) * columns.source * kBlock;
    for (const AxisTap& c : across) region.taps.push_back({at, (r.tap * taps_w + c.tap) * kBlock});
  }
  region.base = region.taps.empty() ? 0 : region.taps[0].x;
  for (DepthwiseTap& tap : region.taps) tap.x -= region.base;
  return region;
}

const float* DepthwiseBands::prepare(const float* source, int64_t first, int64_t count, float* scratch) const {
  if (!packed) return source;
  pack.pack(source, first, count, scratch);
  return scratch;
}
const Bfloat16* DepthwiseBands::prepare(const Bfloat16* source, int64_t first, int64_t count, float* scratch) const {
  if (!packed) return source;
  Bfloat16* const halves = reinterpret_cast<Bfloat16*>(scratch);
  pack.pack_halves(source, first, count, halves);
  return halves;
}

DepthwiseAhead DepthwiseBands::ahead(Values source, const DepthwiseTask& task) const {
  const int64_t row = rows.step() * columns.source * kBlock;
  const int64_t first = std::min(source_floats(), task.first * row);
  const int64_t last = std::min(source_floats(), (task.first + task.count) * row);
  const Values plane = source + (task.image * channel_blocks() + task.block) * source_floats();
  const auto at = [&](int64_t element) { return reinterpret_cast<const char*>((plane + element).at()); };
  return {at(first), at((task.blocks - 1) * source_floats() + last),
          rows.step() * columns.step() * kBlock * source.bytes()};
}

DepthwiseBands depthwise_bands(const ConvGeometry& g) {
  DepthwiseBands bands;
  bands.images = g.n;
  bands.channels = g.c;
  bands.group = g.c_group();
  bands.taps_w = g.s;
  bands.tap_offsets = g.tap_offsets();
  return bands;
}

DepthwiseBands depthwise_forward_bands(const ConvGeometry& g) {
  DepthwiseBands bands = depthwise_bands(g);
  bands.rows = forward_axis(g.h, g.p, g.r, g.stride_h, g.dilation_h, g.top, g.mode, AxisCopies::kShared);
  bands.columns = forward_axis(g.w, g.q, g.s, g.stride_w, g.dilation_w, g.left, g.mode, AxisCopies::kShared);
  return bands;
}

int depthwise_group_index(int64_t group) { return group == 1 ? 0 : group == 2 ? 1 : group == 4 ? 2 : 3; }

std::string describe_bands(const DepthwiseBands& bands, int64_t tasks) {
  return std::string("depthwise ") + depthwise_kernels().isa +
         (bands.packed            ? ", packed"
          : bands.whole_width > 0 ? ", whole rows"
                                  : ", in place") +
         (bands.group > 1 ? ", groups of " + std::to_string(bands.group) : "") + ", rows " +
         std::to_string(bands.band) + ", tasks " + std::to_string(tasks);
}

Status BlockedInput::run(const RunContext& context, const float* from, float* to) const {
  if (!needed) return {};
  const int64_t each = blocks(channels);
  return for_tasks(context, images * each, [&](int64_t task) {
    const int64_t first = task % each * kBlock;
    layout_kernels().to_blocked(from + (task / each * channels + first) * pixels, pixels,
                                static_cast<int>(std::min<int64_t>(kBlock, channels - first)), pixels,
                                to + task * kBlock * pixels);
  });
}

}  // namespace fovea
