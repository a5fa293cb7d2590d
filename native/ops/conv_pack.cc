#include "ops/conv_pack.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <type_traits>

#include "kernels/bf16/bf16.h"
#include "kernels/layout/layout.h"
#include "ops/parallel.h"

namespace fovea {

PackedBand::PackedBand(const Axis& rows, const Axis& columns, int64_t lanes, int64_t band, int64_t unit)
    : rows_(rows), source_width_(columns.source), lanes_(lanes) {
  pitch_ = (columns.length() + unit - 1) / unit * unit;
  for (const AxisClass& cls : rows.classes) {
    row_base_.push_back(total_rows_);
    total_rows_ += band + cls.extra;
  }
  floats_ = static_cast<int64_t>(columns.classes.size()) * total_rows_ * pitch_ * lanes_;
  for (const AxisClass& cls : columns.classes) {
    std::vector<Run> runs;
    const int64_t length = columns.length(cls);
    for (int64_t position = 0; position < pitch_; ++position) {
      // Positions that only longer classes need are never read: zeros, so that nothing is read beyond the padded image.
      const bool used = position < length;
      const int64_t source = used ? source_index(cls.first + cls.step * position, columns.source, columns.mode) : -1;
      if (!runs.empty()) {
        Run& run = runs.back();
        const int64_t step = source - (run.source + (run.count - 1) * run.step);
        if ((source < 0 && run.source < 0) ||
            (source >= 0 && run.source >= 0 && (run.count == 1 || step == run.step))) {
          if (source >= 0) run.step = step;
          ++run.count;
          continue;
        }
      }
      runs.push_back({position, source, 1, 0});
    }
    runs_.push_back(std::move(runs));
  }
  find_padded();
}

void PackedBand::find_padded() {
  const auto backward = [](const AxisClass& cls) { return cls.step <= 0; };
  if (lanes_ != 1 || rows_.mode != PaddingMode::kZeros ||
      std::any_of(rows_.classes.begin(), rows_.classes.end(), backward))
    return;
  for (const std::vector<Run>& runs : runs_) {
    std::vector<Run> values;
    std::copy_if(runs.begin(), runs.end(), std::back_inserter(values), [](const Run& r) { return r.source >= 0; });
    const bool padded = values.size() == 1 && (values[0].count == 1 || values[0].step == 1 || values[0].step == 2);
    if (!padded) return padded_.clear();
    padded_.push_back(values[0]);
  }
}

bool PackedBand::in_place() const {
  return rows_.direct() && rows_.extra() == 0 && runs_.size() == 1 && runs_[0].size() == 1 && runs_[0][0].source == 0 &&
         runs_[0][0].count == source_width_;
}

int64_t PackedBand::offset(const AxisTap& row, const AxisTap& column) const {
  const int64_t packed_row = column.cls * total_rows_ + row_base_[static_cast<size_t>(row.cls)] + row.offset;
  return (packed_row * pitch_ + column.offset) * lanes_;
}

namespace {

constexpr int64_t kShort = 8;

// With the strides of stems known, they are loads and shuffles of vectors.
template <class T>
void copy_strided(const T* from, int64_t step, int64_t count, T* to) {
  const auto copy = [=](auto known) {
    for (int64_t i = 0; i < count; ++i) to[i] = from[i * known];
  };
  if (step == 2) return copy(std::integral_constant<int64_t, 2>());
  if (step == 4) return copy(std::integral_constant<int64_t, 4>());
  copy(step);
}

// `count` positions of `size` elements, `step` of them apart in the source. Runs are often of a few pixels: too short
// for a call of memcpy with a size that the compiler does not know.
template <class T>
void copy(const T* from, int64_t step, int64_t count, int64_t size, T* to) {
  if (size == 1 && step != 1) {
    copy_strided(from, step, count, to);
  } else if (size == kBlock && (count <= kShort || step != 1)) {
    for (int64_t i = 0; i < count; ++i) std::memcpy(to + i * kBlock, from + i * step * kBlock, kBlock * sizeof(T));
  } else {
    std::memcpy(to, from, static_cast<size_t>(count * size) * sizeof(T));
  }
}
void copy(const Bfloat16* from, int64_t step, int64_t count, int64_t, float* to) {
  const auto widen = layout_bf16_kernels()->widen;
  if (step == 1) return widen(from, count * kBlock, to);
  for (int64_t i = 0; i < count; ++i) widen(from + i * step * kBlock, kBlock, to + i * kBlock);
}

template <class T>
void clear(int64_t count, int64_t size, T* to) {
  if (size != kBlock || count > kShort) {
    std::memset(static_cast<void*>(to), 0, static_cast<size_t>(count * size) * sizeof(T));
  } else {
    for (int64_t i = 0; i < count; ++i) std::memset(static_cast<void*>(to + i * kBlock), 0, kBlock * sizeof(T));
  }
}

}  // namespace

template <class Row>
void PackedBand::for_rows(int64_t first, int64_t count, const Row& row) const {
  const int64_t row_floats = pitch_ * lanes_;
  for (size_t column = 0; column < runs_.size(); ++column) {
    for (size_t cls = 0; cls < rows_.classes.size(); ++cls) {
      const AxisClass& c = rows_.classes[cls];
      int64_t to = (static_cast<int64_t>(column) * total_rows_ + row_base_[cls]) * row_floats;
      for (int64_t j = 0; j < count + c.extra; ++j, to += row_floats)
        row(runs_[column], source_index(c.first + c.step * (first + j), rows_.source, rows_.mode), to);
    }
  }
}

template <class From, class To>
void PackedBand::pack_as(const From* source, int64_t first, int64_t count, To* target) const {
  for_rows(first, count, [&](const std::vector<Run>& runs, int64_t from, int64_t to) {
    if (from < 0) return clear(pitch_, lanes_, target + to);
    for (const Run& run : runs) {
      To* const at = target + to + run.target * lanes_;
      if (run.source < 0)
        clear(run.count, lanes_, at);
      else
        copy(source + (from * source_width_ + run.source) * lanes_, run.count == 1 ? 1 : run.step, run.count, lanes_,
             at);
    }
  });
}

// A call of memset, memcpy and memset again for each row of a stem takes longer than its values do.
void PackedBand::pack_planes(const float* source, int64_t first, int64_t count, float* target) const {
  for (size_t column = 0; column < runs_.size(); ++column) {
    const Run& values = padded_[column];
    const PaddedRows padded{values.target, values.count, values.step, pitch_};
    for (size_t cls = 0; cls < rows_.classes.size(); ++cls) {
      const AxisClass& c = rows_.classes[cls];
      float* const to = target + (static_cast<int64_t>(column) * total_rows_ + row_base_[cls]) * pitch_;
      const int64_t rows = count + c.extra, top = c.first + c.step * first;  // may be above the image
      const int64_t begin = std::clamp<int64_t>(ceil_div(-top, c.step), 0, rows);
      const int64_t end = std::clamp<int64_t>(ceil_div(rows_.source - top, c.step), begin, rows);
      clear(begin * pitch_, 1, to);
      clear((rows - end) * pitch_, 1, to + end * pitch_);
      if (begin == end) continue;
      const float* const from = source + (top + c.step * begin) * source_width_ + values.source;
      layout_kernels().pad_rows(from, c.step * source_width_, end - begin, padded, to + begin * pitch_);
    }
  }
}

void PackedBand::pack(Values source, int64_t first, int64_t count, float* target) const {
  if (!padded_.empty()) return pack_planes(source.floats(), first, count, target);
  source.half() ? pack_as(source.halves(), first, count, target) : pack_as(source.floats(), first, count, target);
}

void PackedBand::pack_halves(const Bfloat16* source, int64_t first, int64_t count, Bfloat16* target) const {
  pack_as(source, first, count, target);
}

void PackedBand::pack_pairs(Values first_block, Values second_block, int64_t first, int64_t count, int planes,
                            float* target) const {
  const Bf16Kernels& kernels = *bf16_kernels();
  const auto clear = [&](int64_t positions, float* to) {
    for (int p = 0; p < planes; ++p)
      std::memset(to + p * floats_, 0, static_cast<size_t>(positions * kBlock) * sizeof(float));
  };
  for_rows(first, count, [&](const std::vector<Run>& runs, int64_t from, int64_t to) {
    if (from < 0) return clear(pitch_, target + to);
    for (const Run& run : runs) {
      float* words = target + to + run.target * kBlock;
      if (run.source < 0) {
        clear(run.count, words);
        continue;
      }
      const int64_t at = (from * source_width_ + run.source) * kBlock;
      const Values low = first_block + at, high = second_block ? second_block + at : second_block;
      if (low.half())
        kernels.stored_pixels(low.halves(), high.halves(), run.step, run.count, words);
      else
        kernels.pixels(low.floats(), high.floats(), run.step, run.count, planes, words, floats_);
    }
  });
}

void pack_images(Values source, int64_t image, int64_t images, int64_t pixels, int64_t pitch, float* target) {
  const int64_t step = image / kBlock;
  for (int64_t pixel = 0; pixel < pixels; ++pixel, source = source + kBlock, target += pitch * kBlock) {
    if (source.half())
      copy(source.halves(), step, images, kBlock, target);
    else
      copy(source.floats(), step, images, kBlock, target);
  }
}

void pack_images_as_pairs(Values first, Values second, int64_t image, int64_t images, int64_t pixels, int64_t pitch,
                          int planes, float* words, int64_t plane) {
  const Bf16Kernels& kernels = *bf16_kernels();
  const int64_t step = image / kBlock;
  for (int64_t pixel = 0; pixel < pixels; ++pixel, words += pitch * kBlock) {
    const Values low = first + pixel * kBlock, high = second ? second + pixel * kBlock : second;
    if (low.half())
      kernels.stored_pixels(low.halves(), high.halves(), step, images, words);
    else
      kernels.pixels(low.floats(), high.floats(), step, images, planes, words, plane);
  }
}

int64_t weight_block_floats(const WeightView& view, int64_t taps, int64_t unit) {
  return (view.depth + unit - 1) / unit * unit * taps * kBlock;
}

namespace {

// Rows of 16 lanes that one transposition makes: 16 KiB, in L1.
constexpr int64_t kStripe = 256;

// One tap whose lanes lie side by side, as in the input gradient of a 1x1 convolution: nothing to transpose.
void copy_weight(const float* weight, const WeightView& view, int64_t unit, int64_t first, int64_t last,
                 float* panels) {
  const int64_t block_floats = weight_block_floats(view, 1, unit);
  for (int64_t block = first; block < last; ++block) {
    const int64_t lanes = std::min<int64_t>(kBlock, view.lanes - block * kBlock);
    const float* from = weight + block * kBlock;
    float* to = panels + (block - first) * block_floats;
    if (lanes < kBlock || view.depth % unit != 0) std::memset(to, 0, static_cast<size_t>(block_floats) * sizeof(float));
    for (int64_t depth = 0; depth < view.depth; ++depth, from += view.depth_stride, to += kBlock) {
      if (lanes == kBlock)
        std::memcpy(to, from, kBlock * sizeof(float));
      else
        std::copy_n(from, lanes, to);
    }
  }
}

}  // namespace

void pack_weight(const float* weight, const WeightView& view, const std::vector<int64_t>& taps, int64_t unit,
                 int64_t first, int64_t last, float* panels) {
  const int64_t count = static_cast<int64_t>(taps.size()), all = view.taps();
  if (count == 1 && view.lane_stride == 1) return copy_weight(weight + taps[0], view, unit, first, last, panels);
  const int64_t block_floats = weight_block_floats(view, count, unit);
  // Depths whose taps lie side by side in memory, for every lane, are transposed together.
  const int64_t together = view.depth_stride == all ? std::max<int64_t>(1, kStripe / all) : 1;
  alignas(64) float stripe[kStripe * kBlock];
  if (view.depth % unit != 0) {
    std::memset(panels, 0, static_cast<size_t>((last - first) * block_floats) * sizeof(float));
  }
  for (int64_t depth = 0; depth < view.depth; depth += together) {
    const int64_t depths = std::min(together, view.depth - depth);
    for (int64_t block = first; block < last; ++block) {
      const int lanes = static_cast<int>(std::min<int64_t>(kBlock, view.lanes - block * kBlock));
      const float* from = weight + block * kBlock * view.lane_stride + depth * view.depth_stride;
      for (int64_t offset = 0; offset < depths * all; offset += kStripe) {  // more than once for a huge filter only
        const int64_t rows = std::min(kStripe, depths * all - offset);
        layout_kernels().to_blocked(from + offset, view.lane_stride, lanes, rows, stripe);
        for (int64_t d = depth; d < depth + depths; ++d) {
          float* to = panels + (block - first) * block_floats + (d / unit * count * unit + d % unit) * kBlock;
          for (int64_t t = 0; t < count; ++t) {
            const int64_t row = (d - depth) * all + taps[static_cast<size_t>(t)] - offset;
            if (row >= 0 && row < rows)
              std::memcpy(to + t * unit * kBlock, stripe + row * kBlock, kBlock * sizeof(float));
          }
        }
      }
    }
  }
}

void pack_weight_pairs(const float* weight, const WeightView& view, const std::vector<int64_t>& taps, int planes,
                       int64_t first, int64_t last, float* panels) {
  const int64_t count = static_cast<int64_t>(taps.size());
  const bool matrix = view.lane_stride == 1 || view.depth_stride == 1;  // of one tap
  for (int64_t block = first; block < last; ++block) {
    const int lanes = static_cast<int>(std::min<int64_t>(kBlock, view.lanes - block * kBlock));
    const float* from = weight + block * kBlock * view.lane_stride;
    for (int64_t depth = 0; depth < view.depth; depth += kPairUnit, from += kPairUnit * view.depth_stride) {
      const int depths = static_cast<int>(std::min(kPairUnit, view.depth - depth));
      if (matrix)
        bf16_kernels()->square(from, view.lane_stride, view.depth_stride, lanes, depths, false, planes, panels,
                               kPairUnit / 2 * kBlock);
      else
        bf16_kernels()->weights(from, view.lane_stride, view.depth_stride, lanes, depths, taps.data(), count,
                                view.taps(), planes, panels);
      panels += count * planes * (kPairUnit / 2) * kBlock;
    }
  }
}

namespace {

// One value at a time: with the taps of others in between, there are no runs to write.
void unpack_some_taps(const float* rows, const WeightView& view, const std::vector<int64_t>& taps, int64_t unit,
                      int64_t first_depth, int64_t last_depth, int64_t block, float* weight) {
  const int64_t lanes = std::min<int64_t>(kBlock, view.lanes - block * kBlock);
  for (int64_t depth = first_depth; depth < last_depth; ++depth) {
    const int64_t d = depth - first_depth;
    const float* from = rows + (d / unit * static_cast<int64_t>(taps.size()) * unit + d % unit) * kBlock;
    float* to = weight + block * kBlock * view.lane_stride + depth * view.depth_stride;
    for (size_t t = 0; t < taps.size(); ++t, from += unit * kBlock)
      for (int64_t lane = 0; lane < lanes; ++lane) to[lane * view.lane_stride + taps[t]] = from[lane];
  }
}

}  // namespace

void unpack_weight(const float* rows, const WeightView& view, const std::vector<int64_t>& taps, int64_t unit,
                   int64_t first_depth, int64_t last_depth, int64_t block, float* weight) {
  const int64_t count = static_cast<int64_t>(taps.size());
  if (count < view.depth_stride)
    return unpack_some_taps(rows, view, taps, unit, first_depth, last_depth, block, weight);
  const int64_t together = std::max<int64_t>(1, kStripe / count);
  const int64_t lanes = std::min<int64_t>(kBlock, view.lanes - block * kBlock);
  alignas(64) float stripe[kStripe * kBlock];
  for (int64_t depth = first_depth; depth < last_depth; depth += together) {
    const int64_t depths = std::min(together, last_depth - depth);
    float* to = weight + block * kBlock * view.lane_stride + depth * view.depth_stride;
    for (int64_t offset = 0; offset < depths * count; offset += kStripe) {
      const int64_t size = std::min(kStripe, depths * count - offset);
      for (int64_t d = depth; d < depth + depths; ++d) {
        const float* from = rows + ((d - first_depth) / unit * count * unit + (d - first_depth) % unit) * kBlock;
        for (int64_t t = 0; t < count; ++t) {
          const int64_t row = (d - depth) * count + taps[static_cast<size_t>(t)] - offset;
          if (row >= 0 && row < size)
            std::memcpy(stripe + row * kBlock, from + t * unit * kBlock, kBlock * sizeof(float));
        }
      }
      layout_kernels().from_blocked(stripe, view.lane_stride, static_cast<int>(lanes), size, to + offset);
    }
  }
}

bool all_finite(const float* values, int64_t count) {
  uint32_t wrong = 0;
  for (int64_t i = 0; i < count; ++i) {
    uint32_t bits;
    std::memcpy(&bits, values + i, sizeof(bits));
    wrong |= (bits & 0x7f800000u) == 0x7f800000u;
  }
  return wrong == 0;
}

// Some pixels at a time: what is rounded in memory goes through float32.
void take_block(Values image, const std::vector<TakenLanes>& taken, int64_t pixels, MutableValues target) {
  constexpr int64_t kPixels = 64;
  alignas(64) float widened[kPixels * kBlock], sums[kPixels * kBlock];
  for (int64_t pixel = 0; pixel < pixels; pixel += kPixels) {
    const int64_t count = std::min(kPixels, pixels - pixel);
    const MutableValues to = target + pixel * kBlock;
    for (size_t i = 0; i < taken.size(); ++i) {
      const Values from = image + (taken[i].block * pixels + pixel) * kBlock;
      if (from.half() && (i == 0 || taken[i].block != taken[i - 1].block))
        layout_bf16_kernels()->widen(from.halves(), count * kBlock, widened);
      layout_kernels().take_lanes(from.half() ? widened : from.floats(), taken[i].lanes.data(), count, i > 0,
                                  to.half() ? sums : to.floats());
    }
    if (to.half()) layout_bf16_kernels()->round(sums, count * kBlock, to.halves());
  }
}

namespace {

std::vector<TakenLanes> lanes_of_channels(const int64_t* from) {
  std::vector<TakenLanes> taken;
  const int64_t last = *std::max_element(from, from + kBlock) / kBlock;
  for (int64_t block = from[0] / kBlock; block <= last; ++block) {
    const auto lane_of = [&](int64_t c) {
      return c >= 0 && c / kBlock == block ? static_cast<int32_t>(c % kBlock) : -1;
    };
    taken.push_back({block, {}});
    std::transform(from, from + kBlock, taken.back().lanes.begin(), lane_of);
  }
  return taken;
}

}  // namespace

void move_channels(ThreadPool& pool, Values source, int64_t images, int64_t source_blocks, int64_t pixels,
                   const std::vector<int64_t>& from, MutableValues target) {
  const int64_t blocks = static_cast<int64_t>(from.size()) / kBlock, plane = pixels * kBlock;
  pool.parallel_for(
      images * blocks,
      [&](int64_t i, int) {
        take_block(source + i / blocks * source_blocks * plane, lanes_of_channels(from.data() + i % blocks * kBlock),
                   pixels, target + i * plane);
      },
      nanoseconds_of(static_cast<double>(images * blocks * plane)));
}

}  // namespace fovea
