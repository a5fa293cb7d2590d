// Memory that a kernel asks for while it computes, so that it comes meanwhile: what its caller will read or write next.
#pragma once
#include <cstddef>

#include "simd/macros.h"

namespace fovea {

struct AskedMemory {
  const std::byte *first = nullptr, *end = nullptr;
};

// A few lines of it after each of a kernel's steps, of which there is at least one: all at once would have to wait for
// each other, and what is computed for them.
class Asks {
 public:
  FOVEA_INLINE Asks(const AskedMemory& memory, ptrdiff_t steps)
      : at_(memory.first), end_(memory.end), each_((memory.end - memory.first + kLine * steps - 1) / (kLine * steps)) {}
  FOVEA_INLINE void step() {
    for (ptrdiff_t i = 0; i < each_ && at_ < end_; ++i, at_ += kLine) ask_to_read(at_);
  }

 private:
  static constexpr ptrdiff_t kLine = 64;
  const std::byte *at_, *end_;
  ptrdiff_t each_;
};

}  // namespace fovea
