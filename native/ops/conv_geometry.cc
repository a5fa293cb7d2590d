#include "ops/conv_geometry.h"

namespace fovea {

namespace {

constexpr int64_t kMaxSide = int64_t{1} << 31;
constexpr int64_t kMaxElements = int64_t{1}
                                 << 44;  // 64 TiB of float32: products of two sides and small factors stay exact

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

Status error(const OpSpec& spec, Code code, const std::string& message) { return {code, spec.name + ": " + message}; }

// One axis of the formula, with the arithmetic in the message.
Status check_axis(const OpSpec& spec, const char* axis, int64_t in, int64_t kernel, int64_t stride, int64_t dilation,
                  int64_t before, int64_t after, int64_t out) {
  if (stride < 1 || stride > kMaxSide || dilation < 1 || dilation > kMaxSide || before < 0 || before > kMaxSide ||
      after < 0 || after > kMaxSide) {
    return error(spec, Code::kOption,
                 std::string("stride and dilation must be at least 1 and padding at least 0 along ") + axis);
  }
  const int64_t reach = dilation * (kernel - 1) + 1, padded = in + before + after;
  if (reach > padded) {
    return error(spec, Code::kShape,
                 std::string("kernel reaches over ") + std::to_string(reach) + " " + axis + ", padded input has " +
                     std::to_string(padded));
  }
  const int64_t expected = (padded - reach) / stride + 1;
  if (out == expected) return {};
  return error(spec, Code::kShape,
               std::string("output has ") + std::to_string(out) + " " + axis + ", expected (" + std::to_string(padded) +
                   " - " + std::to_string(reach) + ") / " + std::to_string(stride) +
                   " + 1 = " + std::to_string(expected));
}

}  // namespace

std::vector<int64_t> ConvGeometry::tap_offsets() const {
  std::vector<int64_t> offsets;
  for (int64_t row = 0; row < r; ++row) {
    for (int64_t column = 0; column < s; ++column) offsets.push_back(weight_tap(row, column));
  }
  return offsets;
}

std::string ConvGeometry::key() const {
  static const char* const modes[] = {"zeros", "reflect", "replicate", "circular"};
  std::string key;
  for (int64_t number :
       {n, c, h, w, k, r, s, groups, stride_h, stride_w, top, bottom, left, right, dilation_h, dilation_w})
    key += std::to_string(number) + " ";
  return key + modes[static_cast<int>(mode)] + (flip ? " flipped" : "") + (keeps ? " kept" : "");
}

Status read_conv_attributes(const OpSpec& spec, ConvGeometry* geometry) {
  const Attributes& attributes = spec.attributes;
  const auto stride = attributes.integers("stride", 2), padding = attributes.integers("padding", 4);
  const auto dilation = attributes.integers("dilation", 2);
  const std::string mode = attributes.text("paddingMode");
  geometry->groups = attributes.integer("groups");
  geometry->flip = attributes.integer("flipKernel") != 0;
  FOVEA_RETURN_IF_ERROR(attributes.status(spec.name.c_str()));
  geometry->stride_h = stride[0], geometry->stride_w = stride[1];
  geometry->top = padding[0], geometry->bottom = padding[1], geometry->left = padding[2], geometry->right = padding[3];
  geometry->dilation_h = dilation[0], geometry->dilation_w = dilation[1];
  if (mode == "zeros")
    geometry->mode = PaddingMode::kZeros;
  else if (mode == "reflect")
    geometry->mode = PaddingMode::kReflect;
  else if (mode == "replicate")
    geometry->mode = PaddingMode::kReplicate;
  else if (mode == "circular")
    geometry->mode = PaddingMode::kCircular;
  else
    return error(spec, Code::kOption, "unknown paddingMode '" + mode + "'");
  return {};
}

Status check_conv(const OpSpec& spec, const ConvGeometry& g) {
  if (g.groups < 1 || g.c % g.groups != 0 || g.k % g.groups != 0) {
    return error(spec, Code::kShape,
                 "groups " + std::to_string(g.groups) + " must divide " + std::to_string(g.c) + " input and " +
                     std::to_string(g.k) + " output channels");
  }
  FOVEA_RETURN_IF_ERROR(check_axis(spec, "rows", g.h, g.r, g.stride_h, g.dilation_h, g.top, g.bottom, g.p));
  return check_axis(spec, "columns", g.w, g.s, g.stride_w, g.dilation_w, g.left, g.right, g.q);
}

bool has_rounded(const OpSpec& spec) {
  for (const auto* operands : {&spec.inputs, &spec.outputs}) {
    for (const Operand& operand : *operands) {
      if (operand.present && operand.dtype == DType::kBfloat16) return true;
    }
  }
  return false;
}

Status check_rounded(const OpSpec& spec, const ConvGeometry& g) {
  const bool images_alike =
      spec.inputs[0].dtype == (spec.name == "conv2dGradWeight" ? spec.inputs[1].dtype : spec.outputs[0].dtype);
  const bool can_read = g.mode == PaddingMode::kZeros && (!g.narrow_groups() || images_alike);
  if (can_read || !has_rounded(spec)) return {};
  return error(spec, Code::kDtype, "bfloat16 in memory is for a padding of zeros, of narrow groups for both images");
}

Status check_operand(const OpSpec& spec, const Operand& operand, size_t rank, const char* name) {
  if (!operand.present) return error(spec, Code::kShape, std::string(name) + " is missing");
  if (operand.dtype != DType::kFloat32 && operand.dtype != DType::kBfloat16)
    return error(spec, Code::kDtype, std::string(name) + " must be float32");
  if (operand.shape.size() != rank) {
    return error(
        spec, Code::kShape,
        std::string(name) + " must have rank " + std::to_string(rank) + ", has shape " + shape_text(operand.shape));
  }
  if (operand.layout == Layout::kBlocked && rank != 4) {
    return error(spec, Code::kBackend, std::string(name) + " is blocked but not of rank 4");
  }
  int64_t elements = 1;
  for (size_t axis = 0; axis < rank; ++axis) {
    const int64_t side = operand.shape[axis];
    if (side < 1 || side > kMaxSide)
      return error(spec, Code::kShape, std::string(name) + " has an impossible side: " + shape_text(operand.shape));
    const int64_t stored = operand.layout == Layout::kBlocked && axis == 1 ? blocks(side) * kBlock : side;
    if (elements > kMaxElements / stored)
      return error(spec, Code::kShape, std::string(name) + " is too large: " + shape_text(operand.shape));
    elements *= stored;
  }
  return {};
}

Status check_shape(const OpSpec& spec, const Operand& operand, const std::vector<int64_t>& shape, const char* name) {
  if (operand.present && operand.shape == shape) return {};
  return error(spec, Code::kShape,
               std::string(name) + " must have shape " + shape_text(shape) + ", has " + shape_text(operand.shape));
}

Status check_layout(const OpSpec& spec, const Operand& operand, Layout layout, const char* name) {
  if (operand.layout == layout) return {};
  return error(spec, Code::kBackend,
               std::string(name) + (layout == Layout::kPlain ? " must be plain" : " must be blocked"));
}

Status check_counts(const OpSpec& spec, size_t least_inputs, size_t inputs, size_t least_outputs, size_t outputs) {
  const size_t in = spec.inputs.size(), out = spec.outputs.size();
  if (in >= least_inputs && in <= inputs && out >= least_outputs && out <= outputs) return {};
  return error(spec, Code::kBackend,
               "expected " + std::to_string(inputs) + " inputs and " + std::to_string(outputs) + " outputs, received " +
                   std::to_string(in) + " and " + std::to_string(out));
}

const Operand& operand_at(const std::vector<Operand>& operands, size_t index) {
  static const Operand absent;
  return index < operands.size() ? operands[index] : absent;
}

}  // namespace fovea
