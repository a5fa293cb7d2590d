// What will be read or written next, asked for a few cache lines at a time, so that memory works while the core
// multiplies. Into L1: a product by pixels from memory that is asked for into L2 alone took Zen 5 a fifth longer.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/asked.h"
#include "runtime/values.h"
#include "simd/macros.h"

namespace fovea {

class Ahead {
 public:
  explicit Ahead(int64_t step = 64) : step_(step) {}  // bytes from one line to the next
  void add(Values first, Values end) {
    if (!spans_.empty() && spans_.back().end == first.at())
      spans_.back().end = end.at();
    else
      spans_.push_back({first.at(), end.at()});
    lines_ += lines_of({first.at(), end.at()});
  }
  void share(int64_t calls) { each_ = (lines_ + calls - 1) / calls, calls_ = calls; }  // of fetch(), or of part()
  void fetch() {
    for (int64_t i = 0; i < each_ && at_ < spans_.size(); ++i) ask_to_read(run(1).first);
  }
  // The next that follow each other, at most so many lines.
  AskedMemory run(int64_t lines) {
    if (at_ == spans_.size()) return {};
    AskedMemory& span = spans_[at_];
    const AskedMemory some{span.first, std::min(span.first + lines * step_, span.end)};
    span.first = some.end;
    if (span.first == span.end) ++at_;
    return some;
  }
  // Likewise, a call's share of what is left.
  AskedMemory part() {
    const int64_t calls = std::max<int64_t>(1, calls_--);
    const AskedMemory some = run((lines_ + calls - 1) / calls);
    lines_ -= lines_of(some);
    return some;
  }

 private:
  int64_t lines_of(const AskedMemory& span) const { return (span.end - span.first + step_ - 1) / step_; }

  std::vector<AskedMemory> spans_;
  size_t at_ = 0;  // the span whose turn it is, less what has been asked for
  int64_t step_, lines_ = 0, each_ = 0, calls_ = 0;
};

}  // namespace fovea
