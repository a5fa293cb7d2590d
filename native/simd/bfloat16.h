// The upper half of a float32, as it lies in memory.
#pragma once
#include <stdint.h>

namespace fovea {

struct Bfloat16 {
  uint16_t bits;
};

}  // namespace fovea
