#include "ops/conv_pack.h"

#include <algorithm>
#include <cstring>

namespace fovea {

PackedBand::PackedBand(const Axis& rows, const Axis& columns, int64_t lanes, int64_t band)
    : rows_(rows), source_width_(columns.source), lanes_(lanes) {
  pitch_ = columns.outputs() + columns.extra();
  for (const AxisClass& cls : rows.classes) {
    row_base_.push_back(total_rows_);
    total_rows_ += band + cls.extra;
  }
  floats_ = static_cast<int64_t>(columns.classes.size()) * total_rows_ * pitch_ * lanes_;
  for (const AxisClass& cls : columns.classes) {
    std::vector<Run> runs;
    for (int64_t position = 0; position < pitch_; ++position) {
      // Positions that only longer classes need are never read: zeros, so that nothing is read beyond the padded image.
      const bool used = position < columns.outputs() + cls.extra;
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
}

int64_t PackedBand::offset(const AxisTap& row, const AxisTap& column) const {
  const int64_t packed_row = column.cls * total_rows_ + row_base_[static_cast<size_t>(row.cls)] + row.offset;
  return (packed_row * pitch_ + column.offset) * lanes_;
}

void PackedBand::copy_row(const std::vector<Run>& runs, const float* source, float* target) const {
  for (const Run& run : runs) {
    float* to = target + run.target * lanes_;
    if (run.source < 0) {
      std::memset(to, 0, static_cast<size_t>(run.count * lanes_) * sizeof(float));
      continue;
    }
    const float* from = source + run.source * lanes_;
    if (run.step == 1 || run.count == 1) {
      std::memcpy(to, from, static_cast<size_t>(run.count * lanes_) * sizeof(float));
    } else if (lanes_ == 1) {
      for (int64_t i = 0; i < run.count; ++i) to[i] = from[i * run.step];
    } else {
      for (int64_t i = 0; i < run.count; ++i)
        std::memcpy(to + i * kBlock, from + i * run.step * kBlock, kBlock * sizeof(float));
    }
  }
}

void PackedBand::pack(const float* source, int64_t first, int64_t count, float* target) const {
  const int64_t row_floats = pitch_ * lanes_;
  for (size_t column = 0; column < runs_.size(); ++column) {
    for (size_t row = 0; row < rows_.classes.size(); ++row) {
      const AxisClass& cls = rows_.classes[row];
      float* to = target + (static_cast<int64_t>(column) * total_rows_ + row_base_[row]) * row_floats;
      for (int64_t j = 0; j < count + cls.extra; ++j, to += row_floats) {
        const int64_t from = source_index(cls.first + cls.step * (first + j), rows_.source, rows_.mode);
        if (from < 0)
          std::memset(to, 0, static_cast<size_t>(row_floats) * sizeof(float));
        else
          copy_row(runs_[column], source + from * source_width_ * lanes_, to);
      }
    }
  }
}

int64_t weight_block_floats(const WeightView& view, int64_t taps, int64_t unit) {
  return (view.depth + unit - 1) / unit * unit * taps * kBlock;
}

void pack_weight(const float* weight, const WeightView& view, const std::vector<int64_t>& taps, int64_t unit,
                 int64_t first, int64_t last, float* panels) {
  const int64_t count = static_cast<int64_t>(taps.size()), tap_floats = unit * kBlock;
  const int64_t block_floats = weight_block_floats(view, count, unit);
  for (int64_t block = first; block < last; ++block) {
    float* panel = panels + block * block_floats;
    const int64_t lanes = std::min<int64_t>(kBlock, view.lanes - block * kBlock);
    if (lanes < kBlock || view.depth % unit != 0)
      std::memset(panel, 0, static_cast<size_t>(block_floats) * sizeof(float));
    for (int64_t lane = 0; lane < lanes; ++lane) {
      const float* from = weight + (block * kBlock + lane) * view.lane_stride;
      for (int64_t depth = 0; depth < view.depth; ++depth) {
        float* to = panel + (depth / unit * count * unit + depth % unit) * kBlock + lane;
        for (int64_t t = 0; t < count; ++t)
          to[t * tap_floats] = from[depth * view.depth_stride + taps[static_cast<size_t>(t)]];
      }
    }
  }
}

void move_channels(const float* source, const std::vector<int64_t>& from, int64_t pixels, float* target) {
  for (size_t block = 0; block < from.size() / kBlock; ++block) {
    float* to = target + static_cast<int64_t>(block) * pixels * kBlock;
    for (size_t lane = 0; lane < kBlock; ++lane) {
      const int64_t channel = std::max<int64_t>(0, from[block * kBlock + lane]);
      const bool zero = from[block * kBlock + lane] < 0;
      const float* plane = source + (channel / kBlock * pixels) * kBlock + channel % kBlock;
      for (int64_t i = 0; i < pixels; ++i) to[i * kBlock + static_cast<int64_t>(lane)] = zero ? 0.f : plane[i * kBlock];
    }
  }
}

}  // namespace fovea
