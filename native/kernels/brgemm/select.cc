#include "cpu/features.h"
#include "kernels/brgemm/brgemm.h"

namespace fovea {

namespace {

const BrgemmKernels* first_of(BrgemmWords words) {
  struct Row {
    Isa needs;
    BrgemmWords words;
    const BrgemmKernels* kernels;
  };
  static const Row rows[] = {
#define BRGEMM_KERNEL(name, needs, words, blocks, rows1, rows2, rows3, rows4) {needs, BrgemmWords::words, &name},
#include "kernels/brgemm/kernels.inc"
#undef BRGEMM_KERNEL
  };
  for (const Row& row : rows) {
    if (row.words == words && cpu_features().isa >= row.needs) return row.kernels;
  }
  return nullptr;
}

}  // namespace

const BrgemmKernels& brgemm_kernels() {
  static const BrgemmKernels& kernels = *first_of(BrgemmWords::kFloat32);
  return kernels;
}

const BrgemmKernels* brgemm_bf16_kernels() {
  static const BrgemmKernels* const kernels = first_of(BrgemmWords::kBf16Pairs);
  return kernels;
}

}  // namespace fovea
