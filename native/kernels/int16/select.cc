#include <cmath>

#include "cpu/features.h"
#include "kernels/int16/int16.h"

namespace fovea {

const Int16Kernels* int16_kernels() {
#if defined(FOVEA_X86)
  if (cpu_features().vnni) return &int16_avx512vnni;
  if (cpu_features().isa == Isa::kAvx2) return &int16_avx2;
#endif
  return nullptr;
}

float int16_norm(float squares, float largest, float count) {
  if (int16_squares_hold(squares)) return std::sqrt(squares);
  if (!(squares == squares) || largest > 1e30f) return NAN;
  return largest < 1e-33f ? 0 : largest * std::sqrt(count);
}

}  // namespace fovea
