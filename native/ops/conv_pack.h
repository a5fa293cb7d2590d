// Copies of a convolution's operands in the order in which its kernels walk them.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "kernels/bf16/bf16.h"
#include "ops/conv_axis.h"
#include "runtime/thread_pool.h"
#include "runtime/values.h"

namespace fovea {

// im2col in one direction, without the other: for a band of outputs every class of columns is copied once, padded,
// strided and shifted, as [column class][row class][row][pitch][lanes]; a filter tap is then an offset into the copy.
// The idea of lowering along one axis only is that of MEC (Cho and Brand, 2017). The layout is fixed by the band's
// height.
class PackedBand {
 public:
  PackedBand() = default;
  // lanes: 16 for one block of the blocked layout, 1 for one plane. band: outputs along the rows. Rows begin at
  // multiples of `unit` positions.
  PackedBand(const Axis& rows, const Axis& columns, int64_t lanes, int64_t band, int64_t unit = 1);

  int64_t pitch() const { return pitch_; }    // positions from one row to the next
  int64_t floats() const { return floats_; }  // of one block or plane
  // Whether a copy would be the source's own rows, one for each output: from `first` on they begin with row(first).
  bool in_place() const;
  int64_t row(int64_t first) const { return rows_.classes[0].first + first; }
  // In floats from the start of the copy, for the band's first output.
  int64_t offset(const AxisTap& row, const AxisTap& column) const;

  // Packs the rows that outputs [first, first + count), count <= band, need from one block or plane of the source.
  void pack(Values source, int64_t first, int64_t count, float* target) const;
  // The same of a block in the form in which it lies.
  void pack_halves(const Bfloat16* source, int64_t first, int64_t count, Bfloat16* target) const;
  // The same of two blocks (`second` may be null: zeros) as bfloat16: the 32 channels of a pixel become 16 words. Plane
  // p of the copy starts at target + p·floats().
  void pack_pairs(Values first_block, Values second_block, int64_t first, int64_t count, int planes,
                  float* target) const;

 private:
  struct Run {  // count positions from `target`: zeros if source < 0, else the source positions source + i·step
    int64_t target, source, count, step;
  };
  Axis rows_;
  std::vector<std::vector<Run>> runs_;  // of each class of columns
  std::vector<Run> padded_;             // likewise, of planes whose rows are one run with zeros around it; else none
  std::vector<int64_t> row_base_;       // of each class of rows
  int64_t source_width_ = 0, lanes_ = 1, pitch_ = 0, total_rows_ = 0, floats_ = 0;

  void find_padded();
  void pack_planes(const float* source, int64_t first, int64_t count, float* target) const;
  template <class From, class To>
  void pack_as(const From* source, int64_t first, int64_t count, To* target) const;
  // row(runs of its class, source row or -1 for zeros, floats from the start of the copy) for each row that is packed.
  template <class Row>
  void for_rows(int64_t first, int64_t count, const Row& row) const;
};

// Images side by side: of one block, [pixel][image][16], `pitch` images from one pixel to the next. From an image of
// the source to the next it is `image` values.
void pack_images(Values source, int64_t image, int64_t images, int64_t pixels, int64_t pitch, float* target);
// The same of two blocks (`second` may be null: zeros) as bfloat16 pairs, planes `plane` words apart.
void pack_images_as_pairs(Values first, Values second, int64_t image, int64_t images, int64_t pixels, int64_t pitch,
                          int planes, float* words, int64_t plane);

// A convolution's weight seen as a matrix for each tap and group: element (depth, lane) of tap t. Lanes and depth are
// the filters and channels, in either order; the taps of a pair of them lie side by side.
struct WeightView {
  int64_t lanes, depth;                             // of one group
  int64_t lane_stride, depth_stride, group_stride;  // in floats
  int64_t parts = 1;  // equal ones of lanes and depth: a lane of one and a depth of another have zeros

  int64_t taps() const { return lane_stride < depth_stride ? lane_stride : depth_stride; }
  // The depths that lanes [first, end) have more than zeros for.
  AxisSpan depths(int64_t first, int64_t end) const {
    const int64_t each = lanes / parts, last = std::min(end, lanes) - 1;
    return {first / each * (depth / parts), (last / each + 1) * (depth / parts)};
  }
};

// [block of 16 lanes][unit of `unit` depths][tap][unit][16], zeros where lanes or depths end: B panels of one group.
// `taps` are offsets into the weight. Packs blocks [first, last), the first to `panels`.
void pack_weight(const float* weight, const WeightView& view, const std::vector<int64_t>& taps, int64_t unit,
                 int64_t first, int64_t last, float* panels);
// The other way, for one block of lanes and some depths, whose rows of sums begin at `rows`; `taps` are all or some,
// and depth_stride is the number of all.
void unpack_weight(const float* rows, const WeightView& view, const std::vector<int64_t>& taps, int64_t unit,
                   int64_t first_depth, int64_t last_depth, int64_t block, float* weight);
// Floats of one block of 16 lanes.
int64_t weight_block_floats(const WeightView& view, int64_t taps, int64_t unit);

// The same panels of bfloat16 pairs: [block of 16 lanes][unit of 32 depths][tap][plane][16 words][16], word q of a lane
// being depths 2q and 2q + 1.
void pack_weight_pairs(const float* weight, const WeightView& view, const std::vector<int64_t>& taps, int planes,
                       int64_t first, int64_t last, float* panels);

// Times the zeros of a padding they would otherwise be NaN.
bool all_finite(const float* values, int64_t count);

// What a block of channels takes from one of another image of as many pixels: lane l takes lanes[l], or zero if that is
// negative.
struct TakenLanes {
  int64_t block;
  std::array<int32_t, kBlock> lanes;
};
// The sum of what it takes, at least once; those of the same block follow each other.
void take_block(Values image, const std::vector<TakenLanes>& taken, int64_t pixels, MutableValues target);

// Blocked channels of images to other places: target channel i (block i / 16, lane i % 16) takes source channel
// from[i], or zero if negative: never the first lane of a block, which takes from the lowest of its source blocks.
// from.size() is a multiple of 16; an image has at least one pixel.
void move_channels(ThreadPool& pool, Values source, int64_t images, int64_t source_blocks, int64_t pixels,
                   const std::vector<int64_t>& from, MutableValues target);

}  // namespace fovea
