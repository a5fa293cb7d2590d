// What will be read or written next, asked for a few cache lines at a time, so that memory works while the core
// multiplies.
#pragma once
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "runtime/values.h"

namespace fovea {

class Ahead {
 public:
  explicit Ahead(int64_t step = 64) : step_(step) {}  // bytes from one line to the next
  void add(Values first, Values end) {
    if (spans_.empty()) at_ = first.at();
    spans_.push_back({first.at(), end.at()});
    lines_ += (end.at() - first.at() + step_ - 1) / step_;
  }
  void share(int64_t calls) { each_ = (lines_ + calls - 1) / calls; }  // among so many of fetch()
  void fetch() {
    for (int64_t i = 0; i < each_ && span_ < spans_.size(); ++i, at_ += step_) {
      if (at_ >= spans_[span_].second) {
        if (++span_ == spans_.size()) return;
        at_ = spans_[span_].first;
      }
      __builtin_prefetch(at_, 0, 2);  // into L2, without waiting
    }
  }

 private:
  std::vector<std::pair<const std::byte*, const std::byte*>> spans_;
  size_t span_ = 0;
  const std::byte* at_ = nullptr;
  int64_t step_, lines_ = 0, each_ = 0;
};

}  // namespace fovea
