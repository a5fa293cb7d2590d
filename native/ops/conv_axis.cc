#include "ops/conv_axis.h"

#include <algorithm>

namespace fovea {

namespace {

int64_t modulo(int64_t a, int64_t b) { return ((a % b) + b) % b; }

// What a tap reads: source index first + step·o.
struct Reach {
  int64_t tap, first;
};

// Taps whose reads differ by whole steps share a class when that is shorter than one copy per tap.
void add_taps(const std::vector<Reach>& reaches, int64_t step, int64_t outputs, AxisCopies wanted, Axis* axis,
              std::vector<AxisTap>* taps) {
  std::vector<AxisClass> shared;
  std::vector<AxisTap> shared_taps;
  int64_t length = 0;
  for (const Reach& reach : reaches) {
    size_t cls = 0;
    while (cls < shared.size() && modulo(shared[cls].first - reach.first, step) != 0) ++cls;
    if (cls == shared.size()) shared.push_back({reach.first, step, 0});
    shared[cls].first = std::min(shared[cls].first, reach.first);
  }
  for (const Reach& reach : reaches) {
    size_t cls = 0;
    while (modulo(shared[cls].first - reach.first, step) != 0) ++cls;
    const int64_t offset = (reach.first - shared[cls].first) / step;
    shared[cls].extra = std::max(shared[cls].extra, offset);
    shared_taps.push_back({reach.tap, static_cast<int64_t>(cls), offset});
  }
  for (const AxisClass& cls : shared) length = std::max(length, outputs + cls.extra);
  const int64_t copies = static_cast<int64_t>(reaches.size());
  if (wanted == AxisCopies::kShared && length * static_cast<int64_t>(shared.size()) <= outputs * copies) {
    axis->classes = std::move(shared);
    *taps = std::move(shared_taps);
    return;
  }
  for (const Reach& reach : reaches) {
    size_t cls = 0;  // two phases of a gradient may read alike
    while (cls < axis->classes.size() && axis->classes[cls].first != reach.first) ++cls;
    if (cls == axis->classes.size()) axis->classes.push_back({reach.first, step, 0});
    taps->push_back({reach.tap, static_cast<int64_t>(cls), 0});
  }
}

}  // namespace

int64_t source_index(int64_t index, int64_t size, PaddingMode mode) {
  if (index >= 0 && index < size) return index;
  switch (mode) {
    case PaddingMode::kZeros:
      return -1;
    case PaddingMode::kReplicate:
      return index < 0 ? 0 : size - 1;
    case PaddingMode::kCircular:
      return modulo(index, size);
    case PaddingMode::kReflect: {
      if (size == 1) return 0;
      const int64_t folded = modulo(index, 2 * (size - 1));
      return folded < size ? folded : 2 * (size - 1) - folded;
    }
  }
  return -1;
}

int64_t Axis::outputs() const {
  int64_t most = 0;
  for (const AxisPhase& phase : phases) most = std::max(most, phase.outputs);
  return most;
}

int64_t Axis::extra() const {
  int64_t most = 0;
  for (const AxisClass& cls : classes) most = std::max(most, cls.extra);
  return most;
}

bool Axis::inside() const {
  return std::all_of(classes.begin(), classes.end(), [this](const AxisClass& cls) {
    return cls.first >= 0 && cls.first + cls.step * (length(cls) - 1) < source;
  });
}

// Positions rise or fall with the tap, so that the taps inside are neighbours.
std::vector<AxisRun> runs_inside(const Axis& axis, const AxisPhase& phase) {
  std::vector<AxisRun> runs;
  for (int64_t o = 0; o < phase.outputs; ++o) {
    const auto inside = [&](size_t tap) {
      const int64_t index = axis.where(phase.taps[tap]) + axis.step() * o;
      return index >= 0 && index < axis.source;
    };
    size_t tap = 0, end = phase.taps.size();
    while (tap < end && !inside(tap)) ++tap;
    while (end > tap && !inside(end - 1)) --end;
    if (tap == end) tap = end = 0;
    if (!runs.empty() && runs.back().tap == tap && runs.back().tap_end == end)
      ++runs.back().count;
    else
      runs.push_back({o, 1, tap, end});
  }
  return runs;
}

AxisSpan span_inside(const Axis& axis, const AxisPhase& phase, const AxisTap& tap) {
  if (axis.mode != PaddingMode::kZeros) return {0, phase.outputs};
  const int64_t step = axis.step(), where = axis.where(tap), left = axis.source - where;
  const int64_t end = left <= 0 ? 0 : std::min(phase.outputs, (left - 1) / step + 1);
  const int64_t first = where >= 0 ? 0 : (step - 1 - where) / step;
  return {std::min(first, end), end};
}

std::vector<AxisRun> whole_run(const AxisPhase& phase) { return {{0, phase.outputs, 0, phase.taps.size()}}; }

AxisSpan span_read(const Axis& axis, int64_t output, int64_t outputs) {
  const int64_t step = axis.classes.size() == 1 ? axis.classes[0].step : 1;
  AxisSpan span{axis.source, 0};
  for (const AxisClass& cls : axis.classes) {
    const int64_t first = cls.first + axis.step() * output;
    const int64_t last = first + axis.step() * (outputs - 1) + cls.step * cls.extra;
    span.first = std::min(span.first, first < 0 ? first + (step - 1 - first) / step * step : first);
    span.end = std::max(span.end, std::min(axis.source, last + 1));
  }
  return {std::min(span.first, span.end), span.end};
}

bool reads_zeros(const Axis& axis) {
  if (axis.mode != PaddingMode::kZeros) return false;
  return std::any_of(axis.phases.begin(), axis.phases.end(), [&](const AxisPhase& phase) {
    const auto runs = runs_inside(axis, phase);
    return runs.size() > 1 || runs[0].tap_end - runs[0].tap < phase.taps.size();
  });
}

Axis forward_axis(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t dilation, int64_t before,
                  PaddingMode mode, AxisCopies copies) {
  Axis axis;
  axis.source = in;
  axis.mode = mode;
  axis.phases.push_back({out, 0, 1, {}});
  if (copies == AxisCopies::kWhole) {
    axis.pace = stride;
    axis.classes.push_back({-before, 1, (kernel - 1) * dilation});
    for (int64_t tap = 0; tap < kernel; ++tap) axis.phases[0].taps.push_back({tap, 0, tap * dilation});
    return axis;
  }
  std::vector<Reach> reaches;
  for (int64_t tap = 0; tap < kernel; ++tap) reaches.push_back({tap, tap * dilation - before});
  add_taps(reaches, stride, out, copies, &axis, &axis.phases[0].taps);
  return axis;
}

Axis gradient_axis(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t dilation, int64_t before,
                   AxisCopies copies) {
  Axis axis;
  axis.source = out;
  std::vector<Reach> reaches;  // of all phases: they share the packed operand
  for (int64_t tap = 0; tap < kernel; ++tap) {
    const int64_t first = modulo(tap * dilation - before, stride);  // the phase that this tap serves
    if (first >= in) continue;
    int64_t phase = 0;
    while (phase < static_cast<int64_t>(axis.phases.size()) && axis.phases[static_cast<size_t>(phase)].first != first)
      ++phase;
    if (phase == static_cast<int64_t>(axis.phases.size())) {
      axis.phases.push_back({(in - first + stride - 1) / stride, first, stride, {}});
    }
    reaches.push_back({phase * kernel + tap, (first + before - tap * dilation) / stride});
  }
  axis.holes = static_cast<int64_t>(axis.phases.size()) < std::min(stride, in);
  std::vector<AxisTap> taps;
  if (!reaches.empty()) add_taps(reaches, 1, axis.outputs(), copies, &axis, &taps);
  for (const AxisTap& tap : taps) {
    axis.phases[static_cast<size_t>(tap.tap / kernel)].taps.push_back({tap.tap % kernel, tap.cls, tap.offset});
  }
  return axis;
}

}  // namespace fovea
