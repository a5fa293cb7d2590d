#include "ops/bf16_products.h"

#include "kernels/brgemm/brgemm.h"

namespace fovea {

int bf16_planes(Precision precision) {
  return precision == Precision::kMedium ? 1 : precision == Precision::kHigh ? 2 : 3;
}

std::vector<std::pair<int, int>> plane_products(int64_t planes) {
  if (planes == 2) return {{0, 1}, {0, 0}, {1, 0}};
  if (planes == 3) return {{2, 0}, {1, 1}, {0, 2}, {0, 1}, {1, 0}, {0, 0}};
  return {{0, 0}};
}

double bf16_speed(int planes) {
  const BrgemmKernels* kernels = brgemm_bf16_kernels();
  if (!kernels) return 0;
  // A pair is two multiply-adds. A tile instruction does 256 of them in the time of 16 vector instructions; fetching
  // its operands and storing its sums leaves about half of that.
  const double one = kernels->tile_rows > 1 ? 12 : cpu_features().halved_pairs ? 0.5 : 2;
  return one / (planes * (planes + 1) / 2);
}

}  // namespace fovea
