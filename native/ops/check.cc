#include "ops/check.h"

namespace fovea {
namespace {

constexpr int64_t kMaxElements = int64_t(1) << 40;

const char* dtype_name(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return "float32";
    case DType::kFloat64:
      return "float64";
    case DType::kInt32:
      return "int32";
    case DType::kUint8:
      return "uint8";
    case DType::kBfloat16:
      return "bfloat16";
  }
  return "unknown";
}

bool addressable(const Operand& operand) {
  int64_t elements = 1;
  for (size_t axis = 0; axis < operand.shape.size(); ++axis) {
    int64_t side = operand.shape[axis];
    if (side < 1 || side > kMaxElements) return false;
    if (operand.layout == Layout::kBlocked && axis == 1) side = blocks(side) * kBlock;
    if (elements > kMaxElements / side) return false;
    elements *= side;
  }
  return true;
}

}  // namespace

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

int64_t count(const std::vector<int64_t>& shape, size_t from) {
  int64_t product = 1;
  for (size_t axis = from; axis < shape.size(); ++axis) product *= shape[axis];
  return product;
}

SpecCheck::SpecCheck(const OpSpec& spec, size_t inputs, size_t outputs) : spec_(spec) {
  require(spec.inputs.size() <= inputs, Code::kOption,
          "expected " + std::to_string(inputs) + " inputs, received " + std::to_string(spec.inputs.size()));
  require(spec.outputs.size() <= outputs, Code::kOption,
          "expected " + std::to_string(outputs) + " outputs, received " + std::to_string(spec.outputs.size()));
}

const Operand& SpecCheck::in(size_t i) const {
  static const Operand absent;
  return i < spec_.inputs.size() ? spec_.inputs[i] : absent;
}

const Operand& SpecCheck::out(size_t i) const {
  static const Operand absent;
  return i < spec_.outputs.size() ? spec_.outputs[i] : absent;
}

void SpecCheck::require(bool good, Code code, const std::string& message) {
  if (!good && status_.ok()) status_ = Status(code, spec_.name + ": " + message);
}

void SpecCheck::tensor(const Operand& operand, const char* name, DType dtype) {
  require(operand.present, Code::kOption, std::string(name) + " is missing");
  require(!operand.present || operand.dtype == dtype, Code::kDtype,
          std::string(name) + " must be " + dtype_name(dtype) + ", got " + dtype_name(operand.dtype));
  require(addressable(operand), Code::kShape, std::string(name) + " has shape " + shape_text(operand.shape));
  require(operand.layout == Layout::kPlain || operand.shape.size() == 4, Code::kShape,
          std::string(name) + " is blocked and has shape " + shape_text(operand.shape));
}

void SpecCheck::plain(const Operand& operand, const char* name, DType dtype) {
  tensor(operand, name, dtype);
  require(operand.layout == Layout::kPlain, Code::kShape, std::string(name) + " must be plain");
}

void SpecCheck::shape(const Operand& operand, const char* name, const std::vector<int64_t>& expected) {
  require(operand.shape == expected, Code::kShape,
          std::string(name) + " must be " + shape_text(expected) + ", got " + shape_text(operand.shape));
}

void SpecCheck::vector(const Operand& operand, const char* name, int64_t channels) {
  if (!operand.present) return;
  plain(operand, name);
  shape(operand, name, {channels});
}

void SpecCheck::like(const Operand& operand, const char* name, const Operand& other, DType dtype) {
  tensor(operand, name, dtype);
  shape(operand, name, other.shape);
  require(operand.layout == other.layout, Code::kShape, std::string(name) + " has another layout than its partner");
}

Status SpecCheck::status() const {
  if (!status_.ok()) return status_;
  return spec_.attributes.status(spec_.name.c_str());
}

}  // namespace fovea
