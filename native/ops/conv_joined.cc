#include "ops/conv_joined.h"

#include "kernels/bf16/bf16.h"
#include "kernels/layout/layout.h"

namespace fovea {

JoinedTaps::JoinedTaps(const Axis& rows, const Axis& columns, int64_t channels, int64_t band, bool pairs)
    : rows_(rows),
      pairs_(pairs),
      channels_(channels),
      outputs_(columns.outputs() / (pairs ? 2 : 1)),
      step_values_(columns.step() * kBlock),
      row_values_(columns.source * kBlock) {
  for (const AxisTap& tap : columns.phases[0].taps) columns_read_.push_back(columns.where(tap) * kBlock);
  const AxisSpan read = span_read(rows, 0, band);
  rows_copied_ = read.end - read.first;
}

int64_t JoinedTaps::offset(const AxisTap& row) const {
  return (rows_.where(row) - span_read(rows_, 0, 1).first) * row_floats();
}

void JoinedTaps::pack(Values source, int64_t first, int64_t count, float* target) const {
  float* const converted = target + rows_copied_ * row_floats() + kBlock;
  Bfloat16* const rounded = reinterpret_cast<Bfloat16*>(converted);
  const AxisSpan read = span_read(rows_, first, count);
  const JoinedRow joined{columns_read_.data(), static_cast<int64_t>(columns_read_.size()), channels_, outputs_,
                         step_values_};
  for (int64_t row = read.first; row < read.end; ++row, target += row_floats()) {
    const Values values = source + row * row_values_;
    if (pairs_) {
      if (!values.half()) layout_bf16_kernels()->round(values.floats(), row_values_, rounded);
      bf16_kernels()->join_taps(values.half() ? values.halves() : rounded, joined, target);
      continue;
    }
    if (values.half()) layout_bf16_kernels()->widen(values.halves(), row_values_, converted);
    layout_kernels().join_taps(values.half() ? converted : values.floats(), joined, target);
  }
}

}  // namespace fovea
