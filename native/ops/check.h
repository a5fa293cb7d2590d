// What make() asks of a spec so that run() may trust every pointer and size. The first failure is kept.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/operation.h"

namespace fovea {

std::string shape_text(const std::vector<int64_t>& shape);          // "[64, 3, 32, 32]"
int64_t count(const std::vector<int64_t>& shape, size_t from = 0);  // product of the axes from `from` on

// The type that an operand of an image is checked against where both are taken: bfloat16 if it is that, else float32.
inline DType image_type(const Operand& operand) {
  return operand.dtype == DType::kBfloat16 ? DType::kBfloat16 : DType::kFloat32;
}

class SpecCheck {
 public:
  // At most so many operands of each kind; missing ones at the end are absent.
  SpecCheck(const OpSpec& spec, size_t inputs, size_t outputs);

  const Operand& in(size_t i) const;
  const Operand& out(size_t i) const;

  void require(bool good, Code code, const std::string& message);
  // Present, of this type, every axis at least 1, of a size that can be addressed; blocked only with four axes.
  void tensor(const Operand& operand, const char* name, DType dtype = DType::kFloat32);
  void plain(const Operand& operand, const char* name, DType dtype = DType::kFloat32);
  void shape(const Operand& operand, const char* name, const std::vector<int64_t>& expected);
  // Absent, or a plain vector of `channels` floats.
  void vector(const Operand& operand, const char* name, int64_t channels);
  // Present, same shape and layout.
  void like(const Operand& operand, const char* name, const Operand& other, DType dtype = DType::kFloat32);
  // Also the first attribute that was asked for and missing or ill-typed.
  Status status() const;
  bool ok() const { return status_.ok(); }

 private:
  const OpSpec& spec_;
  Status status_;
};

}  // namespace fovea
