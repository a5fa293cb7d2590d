// One axis of pooling, worked out once per shape: which inputs an output reads and which outputs an input is read by.
#pragma once
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/pool/pool.h"
#include "runtime/operation.h"

namespace fovea {

// Pool<X, Y> for an image and its windows as they lie in memory.
template <template <class X, class Y> class Pool, class... Arguments>
void make_pool(const Operand& image, const Operand& windows, std::unique_ptr<Operation>* operation,
               Arguments&&... arguments) {
  const bool x = image.dtype == DType::kBfloat16, y = windows.dtype == DType::kBfloat16;
  if (x && y)
    operation->reset(new Pool<Bfloat16, Bfloat16>(std::forward<Arguments>(arguments)...));
  else if (x)
    operation->reset(new Pool<Bfloat16, float>(std::forward<Arguments>(arguments)...));
  else if (y)
    operation->reset(new Pool<float, Bfloat16>(std::forward<Arguments>(arguments)...));
  else
    operation->reset(new Pool<float, float>(std::forward<Arguments>(arguments)...));
}

struct PoolAxis {
  int64_t in, out, kernel, stride, before, after, dilation;
};

// For each input the outputs whose window holds it, in order, and the tap where it stands: at most out * kernel of
// them.
class TapLists {
 public:
  TapLists() = default;
  explicit TapLists(const PoolAxis& axis) : start_(size_t(axis.in) + 1, 0) {
    for (int64_t i = 0; i < axis.in; ++i) {
      const int64_t at = i + axis.before, first = at - (axis.kernel - 1) * axis.dilation;
      const int64_t last_output = at / axis.stride < axis.out ? at / axis.stride : axis.out - 1;
      for (int64_t o = first <= 0 ? 0 : (first + axis.stride - 1) / axis.stride; o <= last_output; ++o) {
        if ((at - o * axis.stride) % axis.dilation != 0) continue;
        other_.push_back(int32_t(o));
        tap_.push_back(int32_t((at - o * axis.stride) / axis.dilation));
      }
      start_[size_t(i) + 1] = int32_t(other_.size());
    }
  }
  AxisTaps view() const { return {start_.data(), other_.data(), tap_.data()}; }

 private:
  std::vector<int32_t> start_, other_, tap_;
};

// Ranges of inputs per output, or turned around; divisors are per output in both.
class RangeLists {
 public:
  RangeLists() = default;
  RangeLists(std::vector<int32_t> begin, std::vector<int32_t> end, std::vector<float> divisor)
      : begin_(std::move(begin)), end_(std::move(end)), divisor_(std::move(divisor)) {}

  // From inputs per output to outputs per input. Begins and ends grow with the output, so what holds an input is a run.
  RangeLists turned(int64_t inputs) const {
    std::vector<int32_t> begin(size_t(inputs), 0), end(size_t(inputs), 0);
    for (int32_t i = 0; i < int32_t(inputs); ++i) {
      int32_t first = 0;
      const int32_t outputs = int32_t(begin_.size());
      if (i > 0) first = begin[size_t(i) - 1];
      while (first < outputs && end_[size_t(first)] <= i) ++first;
      int32_t last = i > 0 && end[size_t(i) - 1] > first ? end[size_t(i) - 1] : first;
      while (last < outputs && begin_[size_t(last)] <= i) ++last;
      begin[size_t(i)] = first, end[size_t(i)] = last;
    }
    return RangeLists(std::move(begin), std::move(end), divisor_);
  }
  AxisRanges view() const { return {begin_.data(), end_.data(), divisor_.data()}; }

 private:
  std::vector<int32_t> begin_, end_;
  std::vector<float> divisor_;
};

}  // namespace fovea
