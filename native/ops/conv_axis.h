// One axis of a convolution as a stride-1 problem over a packed operand: stride, dilation, padding, rotation and the
// phases of an input gradient all end here, as lists of positions. Pure arithmetic.
#pragma once
#include <cstdint>
#include <vector>

#include "ops/conv_geometry.h"

namespace fovea {

// Index in [0, size) that the padding mode gives for any `index`, or -1 where the padding is zero.
int64_t source_index(int64_t index, int64_t size, PaddingMode mode);

// A run of packed positions: for outputs [o, o + n) position j in [0, pace (n - 1) + 1 + extra) holds source index
// first + step (pace o + j).
struct AxisClass {
  int64_t first, step, extra;
};

// Output o reads position pace (o - first output of the band) + offset of its class at this tap.
struct AxisTap {
  int64_t tap, cls, offset;
};

// A set of outputs with the same taps: output o lands at first + step·o of the destination.
struct AxisPhase {
  int64_t outputs, first, step;
  std::vector<AxisTap> taps;
};

struct Axis {
  int64_t source = 0;  // size
  PaddingMode mode = PaddingMode::kZeros;
  int64_t pace = 1;  // positions from one output to the next
  std::vector<AxisClass> classes;
  std::vector<AxisPhase> phases;  // those that have taps
  bool holes = false;             // some outputs belong to no phase: they are zero

  int64_t outputs() const;                                                 // of the longest phase
  int64_t extra() const;                                                   // the largest of the classes
  int64_t length() const { return pace * (outputs() - 1) + 1 + extra(); }  // positions of the longest class
  int64_t length(const AxisClass& cls) const { return length() - extra() + cls.extra; }
  bool inside() const;  // whether no output reads beyond the source
  // Whether packing would copy the source as it is: one class, in order, wholly inside.
  bool direct() const { return inside() && classes.size() == 1 && step() == 1; }
  // Source index that output o of a phase reads at this tap: where() + step() * o.
  int64_t where(const AxisTap& tap) const {
    const AxisClass& cls = classes[static_cast<size_t>(tap.cls)];
    return cls.first + cls.step * tap.offset;
  }
  int64_t step() const { return classes.empty() ? 1 : pace * classes[0].step; }  // the same in every class
};

// Outputs [first, first + count) of a phase, whose taps [tap, tap_end) read inside the source and all others in its
// padding.
struct AxisRun {
  int64_t first, count;
  size_t tap, tap_end;
};

// How positions are shared out to classes.
enum class AxisCopies {
  kShared,    // taps that read a whole number of steps apart share one
  kSeparate,  // each tap has its own: more copies, but pixels of neighbouring rows then follow each other
  kWhole,     // one for all, with what lies between the steps: a copy of the source as it lies, where lanes are single
};
// y[o] = Σ_t x[o·stride + t·dilation - before] w[t]
Axis forward_axis(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t dilation, int64_t before,
                  PaddingMode mode, AxisCopies copies);
// x[i] = Σ_t y[(i + before - t·dilation) / stride] w[t] over the t that divide: one phase for each i mod stride that
// has any.
Axis gradient_axis(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t dilation, int64_t before,
                   AxisCopies copies);

// Outputs [first, end) of a phase that read inside the source at this tap, and not in a padding of zeros: none if
// equal.
struct AxisSpan {
  int64_t first, end;
};
AxisSpan span_inside(const Axis& axis, const AxisPhase& phase, const AxisTap& tap);
// Of the source, what outputs [output, output + outputs) of all phases read, with what lies between: none if equal.
AxisSpan span_read(const Axis& axis, int64_t output, int64_t outputs);
// All outputs of a phase.
std::vector<AxisRun> runs_inside(const Axis& axis, const AxisPhase& phase);
// The same as if nothing were padding.
std::vector<AxisRun> whole_run(const AxisPhase& phase);
// Whether some tap of some output reads a padding of zeros.
bool reads_zeros(const Axis& axis);

}  // namespace fovea
