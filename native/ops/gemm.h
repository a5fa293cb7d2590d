// C[m×n] = act(A·B + bias) for plain matrices, by the batch-reduce GEMM tiles: B is packed into panels, A is read in
// place or packed, whichever suits its strides.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/brgemm/brgemm.h"
#include "runtime/operation.h"

namespace fovea {

struct GemmProblem {
  int64_t m = 0, n = 0, k = 0;
  // A(i, q) = a[i·a_row + q·a_column], B(q, j) = b[q·b_row + j·b_column]; one of each pair is 1. C is row-major and
  // dense.
  int64_t a_row = 0, a_column = 0, b_row = 0, b_column = 0;
  std::vector<int64_t> a_batch{0}, b_batch{0};  // for each product of the batch where its operands start, in floats
  bool bias = false, relu = false;              // bias[n]
};

class Gemm {
 public:
  static Status plan(const GemmProblem& problem, int threads, Gemm* gemm);
  size_t workspace_bytes() const;
  Status run(const RunContext& context, const float* a, const float* b, const float* bias, float* c,
             std::byte* workspace) const;
  std::string describe() const;

 private:
  struct Task {
    int64_t batch, row, rows, block, blocks;  // blocks of 16 columns
  };

  Task task(int64_t index) const;
  int64_t tasks() const { return static_cast<int64_t>(problem_.a_batch.size()) * row_tasks_ * block_splits_; }
  void pack_panels(const float* b, int64_t first, int64_t last, float* panels) const;
  void run_task(const Task& task, const float* a, const float* panels, const float* bias, float* c,
                float* scratch) const;
  void write_scratch(const Task& task, const float* scratch, const float* bias, float* c) const;
  // Whole groups of columns go straight to C; the ragged last one, and everything when transposed, by way of the
  // scratch.
  bool direct(int64_t block, int64_t blocks) const { return !swapped_ && (block + blocks) * kBlock <= problem_.n; }

  GemmProblem problem_;  // as computed: A and B swapped when swapped_, C then being the transpose
  const BrgemmKernels* kernels_ = nullptr;
  BrgemmRows kind_ = BrgemmRows::kPixels;
  bool swapped_ = false;
  int64_t step_ = 1;  // blocks of columns that a tile takes at once
  int threads_ = 1;
  int64_t blocks_ = 0, row_task_ = 1, row_tasks_ = 1, block_task_ = 1, block_splits_ = 1, depth_ = 1;
  int64_t scratch_floats_ = 0;
  std::vector<int64_t> panel_of_;       // for each product of the batch
  std::vector<int64_t> panel_sources_;  // the distinct b_batch
  std::vector<ptrdiff_t> row_offsets_;  // kList
  std::vector<BrgemmEntry> entries_;    // kPixels: whole blocks of 16 depths of one pass
};

}  // namespace fovea
