#include "ops/bf16_products.h"

#include "kernels/brgemm/brgemm.h"

namespace fovea {

int bf16_planes(Precision precision) {
  return precision == Precision::kMedium ? 1 : precision == Precision::kHigh ? 2 : 3;
}

std::vector<std::pair<int, int>> plane_products(int64_t planes) {
  std::vector<std::pair<int, int>> products;
  for (int order = static_cast<int>(planes) - 1; order >= 0; --order) {
    for (int x = 0; x <= order; ++x) products.push_back({x, order - x});
  }
  return products;
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
