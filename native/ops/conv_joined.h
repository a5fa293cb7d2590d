// Narrow images with the channels of all taps of a row side by side: the tiles of a weight gradient then find the rows
// that they sum behind one address, where a list of them would leave no register for the products.
#pragma once
#include <cstdint>
#include <vector>

#include "ops/conv_axis.h"
#include "runtime/values.h"

namespace fovea {

// [row of the source][output along it][tap][channel], of one block of channels whose taps all read inside the source:
// float32, or bfloat16 pairs of neighbouring outputs, of which there is an even number.
class JoinedTaps {
 public:
  JoinedTaps() = default;
  // Of at most `band` rows of outputs.
  JoinedTaps(const Axis& rows, const Axis& columns, int64_t channels, int64_t band, bool pairs);

  int64_t output_floats() const { return static_cast<int64_t>(columns_read_.size()) * channels_; }
  // Outputs, or pairs, from a row of them to the next: with a stride there are rows between that others read.
  int64_t pitch() const { return rows_.step() * outputs_; }
  // With room for what is written behind the last tap, and for a row that is widened or rounded first.
  int64_t floats() const { return rows_copied_ * row_floats() + kBlock + row_values_; }
  // Where the first output stands for a tap along the rows.
  int64_t offset(const AxisTap& row) const;
  // What the rows of outputs [first, first + count), count <= band, read.
  void pack(Values source, int64_t first, int64_t count, float* target) const;

 private:
  int64_t row_floats() const { return outputs_ * output_floats(); }

  Axis rows_;
  bool pairs_ = false;
  std::vector<int64_t> columns_read_;  // by each tap for the first output, in values
  int64_t channels_ = 0, outputs_ = 0, step_values_ = 0, row_values_ = 0, rows_copied_ = 0;
};

}  // namespace fovea
