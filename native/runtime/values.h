// Addresses of values that lie in memory as float32 or rounded to bfloat16, for loops that only pass them on: they move
// by elements, whatever those are.
#pragma once
#include <cstddef>
#include <cstdint>

#include "runtime/operation.h"
#include "simd/bfloat16.h"

namespace fovea {

template <class Byte, class Float, class Half>
class Addresses {
 public:
  Addresses() = default;
  Addresses(Float* floats) : at_(reinterpret_cast<Byte*>(floats)) {}
  Addresses(Half* halves) : at_(reinterpret_cast<Byte*>(halves)), half_(true) {}
  // Of an operand.
  template <class Void>
  Addresses(Void* data, DType dtype) : at_(reinterpret_cast<Byte*>(data)), half_(dtype == DType::kBfloat16) {}

  bool half() const { return half_; }
  int64_t bytes() const { return half_ ? 2 : 4; }  // of one element
  Byte* at() const { return at_; }
  Float* floats() const { return reinterpret_cast<Float*>(at_); }  // only if they are
  Half* halves() const { return reinterpret_cast<Half*>(at_); }
  explicit operator bool() const { return at_ != nullptr; }
  Addresses operator+(int64_t elements) const {
    Addresses moved = *this;
    moved.at_ += elements * bytes();
    return moved;
  }

 private:
  Byte* at_ = nullptr;
  bool half_ = false;
};

using Values = Addresses<const std::byte, const float, const Bfloat16>;
using MutableValues = Addresses<std::byte, float, Bfloat16>;

}  // namespace fovea
