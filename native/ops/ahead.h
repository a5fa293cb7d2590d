// What will be read or written next, asked for a few cache lines at a time, so that memory works while the core
// multiplies. Into L1: a product by pixels from memory that is asked for into L2 alone took Zen 5 a fifth longer.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "runtime/values.h"
#include "simd/macros.h"

namespace fovea {

class Ahead {
 public:
  explicit Ahead(int64_t step = 64) : step_(step) {}  // bytes from one line to the next
  void add(Values first, Values end) {
    if (spans_.empty()) at_ = first.at();
    spans_.push_back({first.at(), end.at()});
    lines_ += (end.at() - first.at() + step_ - 1) / step_;
  }
  void share(int64_t calls) { each_ = (lines_ + calls - 1) / calls; }  // among so many of fetch() or run()
  void fetch() {
    for (int64_t i = 0; i < each_ && span_ < spans_.size(); ++i, at_ += step_) {
      if (at_ >= spans_[span_].second) {
        if (++span_ == spans_.size()) return;
        at_ = spans_[span_].first;
      }
      ask_to_read(at_);
    }
  }
  // The next that follow each other, at most so many lines, or its share. {null, null}: no more.
  std::pair<const std::byte*, const std::byte*> run(int64_t lines) {
    if (span_ == spans_.size()) return {nullptr, nullptr};
    if (each_ > 0) lines = std::min(lines, each_);
    const std::byte *const first = at_, *const last = std::min(at_ + lines * step_, spans_[span_].second);
    at_ = last;
    if (at_ == spans_[span_].second && ++span_ < spans_.size()) at_ = spans_[span_].first;
    return {first, last};
  }

 private:
  std::vector<std::pair<const std::byte*, const std::byte*>> spans_;
  size_t span_ = 0;
  const std::byte* at_ = nullptr;
  int64_t step_, lines_ = 0, each_ = 0;
};

}  // namespace fovea
