// The convolution that three operators share, read from a spec and checked so that plans may trust every number.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/operation.h"

namespace fovea {

enum class PaddingMode { kZeros, kReflect, kReplicate, kCircular };

// x [n, c, h, w], weight [k, c / groups, r, s], y [n, k, p, q].
struct ConvGeometry {
  int64_t n = 0, c = 0, h = 0, w = 0, k = 0, r = 0, s = 0, p = 0, q = 0, groups = 1;
  int64_t stride_h = 1, stride_w = 1, top = 0, bottom = 0, left = 0, right = 0, dilation_h = 1, dilation_w = 1;
  PaddingMode mode = PaddingMode::kZeros;
  bool flip = false;   // the kernel is rotated by 180 degrees before it slides
  bool keeps = false;  // what is made of the weight: another way to compute it may then be the fastest
  int64_t merged = 1;  // so many equal parts of a group's channels and filters are groups of their own: the weights
                       // between them are zeros

  int64_t c_group() const { return c / groups; }
  int64_t k_group() const { return k / groups; }
  int64_t taps() const { return r * s; }
  double flops() const { return 2.0 * n * k * p * q * c_group() * taps(); }
  bool depthwise() const { return groups > 1 && c_group() == 1; }
  // Groups of as many output as input channels, 1, 2, 4 or 8 of them: computed where they lie in their blocks.
  bool narrow_groups() const {
    const int64_t each = c_group();
    return groups > 1 && k_group() == each && (each == 1 || each == 2 || each == 4 || each == 8);
  }
  // Whether a 16-channel block never holds channels of two groups.
  bool groups_align() const { return groups == 1 || (c_group() % kBlock == 0 && k_group() % kBlock == 0); }
  // Where weight[k][c][r][s] of the un-rotated layout is found for the tap (r, s) of the sliding kernel.
  int64_t weight_tap(int64_t row, int64_t column) const {
    return flip ? (r - 1 - row) * s + (s - 1 - column) : row * s + column;
  }
  // weight_tap() of every tap, row by row.
  std::vector<int64_t> tap_offsets() const;
  std::string key() const;  // every number above
};

// Fill everything but the shapes (x, weight and y), which differ by operator, then check that they agree:
// y = floor((x + padding - (dilation (kernel - 1) + 1)) / stride) + 1, groups divide, nothing overflows.
Status read_conv_attributes(const OpSpec& spec, ConvGeometry* geometry);
Status check_conv(const OpSpec& spec, const ConvGeometry& geometry);

// Whether the spec has operands that lie in memory as bfloat16, which is for convolutions padded with zeros; those of
// narrow groups all or none.
bool has_rounded(const OpSpec& spec);
Status check_rounded(const OpSpec& spec, const ConvGeometry& geometry);

// `operand` is present, float32 or what may stand for it in memory, of `rank`, every side at least 1 and its bytes
// representable. `name` is for the message.
Status check_operand(const OpSpec& spec, const Operand& operand, size_t rank, const char* name);
// Its shape is exactly this one.
Status check_shape(const OpSpec& spec, const Operand& operand, const std::vector<int64_t>& shape, const char* name);
// Its layout is that one.
Status check_layout(const OpSpec& spec, const Operand& operand, Layout layout, const char* name);
// The spec has so many operands; the optional last ones may be left out.
Status check_counts(const OpSpec& spec, size_t least_inputs, size_t inputs, size_t least_outputs, size_t outputs);
// The operand at `index`, absent when it was left out.
const Operand& operand_at(const std::vector<Operand>& operands, size_t index);

}  // namespace fovea
