// What depthwise convolution and both of its gradients share: blocks of channels of an image, in bands of rows, whose
// outputs come in regions with the same taps.
#pragma once
#include <string>
#include <vector>

#include "kernels/depthwise/depthwise.h"
#include "ops/conv_axis.h"
#include "ops/conv_geometry.h"
#include "ops/conv_pack.h"
#include "ops/parallel.h"
#include "runtime/values.h"

namespace fovea {

// Outputs of a phase that all have the same taps.
struct DepthwiseRegion {
  AxisRun rows, columns;
  int64_t base = 0;                // floats to what the first tap of its first output reads
  std::vector<DepthwiseTap> taps;  // x counts from there
};

// Rows [first, first + count) of some blocks of channels of an image.
struct DepthwiseTask {
  int64_t image, block, blocks, first, count;
};

// In place, or packed.
struct DepthwiseBands {
  Axis rows, columns;
  PackedBand pack;
  bool packed = false;
  // Taps of a row where the kernel takes rows whole and leaves out what is padding, else 0: regions are of rows alone.
  int whole_width = 0;
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

  // Bands of at most so many pixels, and at least so many tasks, for the axes and the channels as they stand.
  Status plan(int64_t least_tasks, int64_t most_pixels);
  // Whether rows of at most so many pixels can be taken whole.
  bool can_take_whole_rows(int64_t most_pixels) const;
  // The largest first: it reads row after row, and what the columns at the edges read is then in the cache. One region
  // when the operand is packed.
  std::vector<DepthwiseRegion> regions(const AxisPhase& row, const AxisPhase& column) const;
  // The plane, or the packed band of it.
  const float* prepare(const float* source, int64_t first, int64_t count, float* scratch) const;
  const Bfloat16* prepare(const Bfloat16* source, int64_t first, int64_t count, float* scratch) const;
  // What a task reads, for whoever works on the one before.
  DepthwiseAhead ahead(Values source, const DepthwiseTask& task) const;
  // The rows [*first, *end) of a region in a band: whether there are any. *x: what the first tap of the first reads.
  template <class T>
  bool cut(const DepthwiseRegion& region, int64_t band_first, int64_t band_count, const T** x, int64_t* first,
           int64_t* end) const {
    *first = std::max(band_first, region.rows.first);
    *end = std::min(band_first + band_count, region.rows.first + region.rows.count);
    *x += region.base + (*first - (packed ? band_first : region.rows.first)) * row_floats();
    return *first < *end;
  }

 private:
  bool pays_in_place() const;
  DepthwiseRegion region(const AxisPhase& row, const AxisRun& rows_run, const AxisPhase& column,
                         const AxisRun& columns_run) const;
  DepthwiseRegion region_of_whole_rows(const AxisPhase& row, const AxisRun& rows_run, const AxisPhase& column) const;
};

// The channels and taps alone; and all of the forward pass, whose axes the weight gradient has too.
DepthwiseBands depthwise_bands(const ConvGeometry& g);
DepthwiseBands depthwise_forward_bands(const ConvGeometry& g);

int depthwise_group_index(int64_t group);  // of the kernels
std::string describe_bands(const DepthwiseBands& bands, int64_t tasks);

// Plain x as blocked, for a call that did not go through the planner's layouts.
struct BlockedInput {
  bool needed = false;
  int64_t images = 0, channels = 0, pixels = 0;

  size_t floats() const { return needed ? static_cast<size_t>(images * blocks(channels) * kBlock * pixels) : 0; }
  Status run(const RunContext& context, const float* from, float* to) const;
};

}  // namespace fovea
