// Matrix products by the batch-reduce GEMM tiles: B is packed into panels, A is read in place or packed, whichever
// suits its strides.
#pragma once
#include "kernels/brgemm/brgemm.h"
#include "ops/matrix_product.h"

namespace fovea {

class Gemm : public Operation {
 public:
  static Status plan(const GemmProblem& problem, int threads, Gemm* gemm);
  size_t workspace_bytes() const override;
  Status run(const RunContext& context) const override;
  std::string describe() const override;

 private:
  struct Task {
    int64_t batch, row, rows, block, blocks;  // blocks of 16 columns
    int64_t first, last;                      // of the depth
  };
  // What one task needs besides the operands, in floats of its thread's scratch.
  struct Scratch {
    float *sums, *rows, *panels;
  };

  void choose_depth();
  void choose_tasks();
  Task task(int64_t index) const;
  int64_t squares() const { return static_cast<int64_t>(problem_.a_batch.size()) * row_tasks_ * block_splits_; }
  void pack_panels(const float* b, int64_t first_block, int64_t last_block, int64_t first, int64_t depth, float* panels,
                   int64_t block_floats) const;
  void run_task(const Task& task, const float* a, const float* b, const float* panels, const float* bias, float* c,
                const Scratch& scratch) const;
  void add_pass(const Task& task, int64_t first, int64_t depth, const float* source, const float* packed,
                const float* panels, const float* bias, float* c, float* sums) const;
  void write_block(const Task& task, int64_t block, const float* sums, const float* bias, float* c) const;
  Status write_parts(const RunContext& context, const float* bias, float* c, float* sums) const;
  // Whole groups of columns go straight to C; the ragged last one, and everything when transposed or in parts, by way
  // of the sums.
  bool direct(int64_t block, int64_t blocks) const {
    return !swapped_ && parts_ == 1 && (block + blocks) * kBlock <= problem_.n;
  }
  // Panels that several tasks read are packed before them, else each task packs what it multiplies next.
  bool shared_panels() const { return row_tasks_ > 1; }
  int64_t panel_block_floats() const { return (shared_panels() ? problem_.k : depth_) * kBlock; }
  int64_t shared_floats() const;
  int64_t sum_floats() const { return row_task_ * block_task_ * kBlock; }
  int64_t packed_floats() const;
  int64_t scratch_floats() const;

  GemmProblem problem_;  // as computed: A and B swapped when swapped_, C then being the transpose
  const BrgemmKernels* kernels_ = nullptr;
  BrgemmRows kind_ = BrgemmRows::kPixels;
  bool swapped_ = false;
  int64_t step_ = 1;  // blocks of columns that a tile takes at once
  int threads_ = 1;
  int64_t blocks_ = 0, row_task_ = 1, row_tasks_ = 1, block_task_ = 1, block_splits_ = 1;
  int64_t depth_ = 1;                   // of one pass
  int64_t parts_ = 1, part_depth_ = 1;  // of the whole depth, each a task of its own
  std::vector<int64_t> panel_of_;       // for each product of the batch
  std::vector<int64_t> panel_sources_;  // the distinct b_batch
  std::vector<ptrdiff_t> row_offsets_;  // kList
  std::vector<BrgemmEntry> entries_;    // kPixels: whole blocks of 16 depths of one pass
};

Status make_gemm(const OpSpec& spec, const GemmProblem& problem, std::unique_ptr<Operation>* operation);

}  // namespace fovea
