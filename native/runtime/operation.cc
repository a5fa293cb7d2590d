#include "runtime/operation.h"

#include <cmath>

namespace fovea {

size_t dtype_bytes(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
    case DType::kInt32:
      return 4;
    case DType::kFloat64:
      return 8;
    case DType::kUint8:
      return 1;
    case DType::kBfloat16:
      return 2;
  }
  return 0;
}

int64_t Operand::elements() const {
  if (!present) return 0;
  int64_t count = 1;
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    count *= layout == Layout::kBlocked && axis == 1 ? blocks(shape[axis]) * kBlock : shape[axis];
  }
  return count;
}

namespace {

constexpr double kLargestWhole = 9007199254740992.0;  // 2^53: above it doubles skip whole numbers

bool whole(double x) { return std::abs(x) <= kLargestWhole && std::trunc(x) == x; }

}  // namespace

double Attributes::real(const std::string& name) const {
  const auto found = numbers_.find(name);
  if (found != numbers_.end() && found->second.size() == 1) return found->second[0];
  if (missing_.empty()) missing_ = name;
  return 0;
}

int64_t Attributes::integer(const std::string& name) const {
  const double value = real(name);
  if (whole(value)) return static_cast<int64_t>(value);
  if (missing_.empty()) missing_ = name;
  return 0;
}

std::vector<int64_t> Attributes::integers(const std::string& name, size_t count) const {
  std::vector<int64_t> result(count, 0);
  const auto found = numbers_.find(name);
  bool good = found != numbers_.end() && found->second.size() == count;
  for (size_t i = 0; good && i < count; ++i) {
    good = whole(found->second[i]);
    if (good) result[i] = static_cast<int64_t>(found->second[i]);
  }
  if (!good && missing_.empty()) missing_ = name;
  return result;
}

std::vector<double> Attributes::reals(const std::string& name) const {
  const auto found = numbers_.find(name);
  if (found != numbers_.end()) return found->second;
  if (missing_.empty()) missing_ = name;
  return {};
}

std::string Attributes::text(const std::string& name) const {
  const auto found = texts_.find(name);
  if (found != texts_.end()) return found->second;
  if (missing_.empty()) missing_ = name;
  return {};
}

Status Attributes::status(const char* op) const {
  if (missing_.empty()) return {};
  return {Code::kOption, std::string(op) + ": attribute '" + missing_ + "' is missing or of the wrong type"};
}

}  // namespace fovea
