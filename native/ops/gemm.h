// Matrix products by the batch-reduce GEMM tiles. In float32 B is packed into panels, A is read in place or packed,
// whichever suits its strides; as products of bfloat16 pairs both are split and packed.
#pragma once
#include <utility>

#include "kernels/brgemm/brgemm.h"
#include "ops/matrix_product.h"
#include "ops/parallel.h"

namespace fovea {

class Gemm : public Operation {
 public:
  // planes: of bfloat16 that stand for a float32 (kernels/bf16/bf16.h); 0: float32 itself. Of the spec: threads, tiles.
  static Status plan(const OpSpec& spec, const GemmProblem& problem, int planes, Gemm* gemm);
  size_t workspace_bytes() const override;
  Status run(const RunContext& context) const override;
  std::string describe() const override;

 private:
  struct Task {
    int64_t batch, row, rows, block, blocks;  // blocks of 16 columns
    int64_t first, last;                      // of the depth
  };
  // What is packed of an operand: the distinct places where its matrices start, and which of them each product of the
  // batch takes.
  struct Sources {
    std::vector<int64_t> offsets;
    std::vector<size_t> of;

    explicit Sources(const std::vector<int64_t>& batch = {});
    int64_t count() const { return static_cast<int64_t>(offsets.size()); }
  };
  // What tiles of one task and one pass over the depth are multiplied from.
  struct Operands {
    const float *rows, *panels;  // of A, of B from the task's first block
    int64_t row_step;            // from a row of A to the next
  };
  // A call's part of a pass: `depth` words for each of the entries, from offsets into rows and panels.
  struct Span {
    const BrgemmEntry* entries;
    int64_t count, depth, a, b;
  };
  // What one task works with: what was packed for all, and its thread's scratch.
  struct Scratch {
    const float *shared_panels, *shared_rows;
    float *rows = nullptr, *panels = nullptr, *sums = nullptr;
  };

  void choose_depth(int tile_blocks);
  void choose_tasks();
  Task task(int64_t index) const;
  int64_t squares() const { return static_cast<int64_t>(problem_.a_batch.size()) * row_tasks_ * block_splits_; }
  void pack_rows(const float* a, int64_t rows, int64_t first, int64_t depth, float* packed) const;
  void pack_panels(const float* b, int64_t first_block, int64_t last_block, int64_t first, int64_t depth,
                   float* panels) const;
  void pack_block(const float* from, int64_t columns, int64_t depth, float* to) const;
  Status pack_shared(const RunContext& context, float* panels, float* rows) const;
  bool run_task(const Task& task, const RunContext& context, const Scratch& scratch) const;
  std::vector<Span> spans(int64_t depth) const;
  void add_pass(const Task& task, int64_t first, int64_t depth, const Operands& operands, const float* bias, float* c,
                float* sums, bool* not_finite) const;
  void write_block(const Task& task, int64_t block, const float* sums, const float* bias, float* c) const;
  Status write_parts(const RunContext& context, float* sums) const;
  // Whole groups of columns go straight to C; the ragged last one, and everything when transposed or in parts, by way
  // of the sums.
  bool direct(int64_t block, int64_t blocks) const {
    return !swapped_ && parts_ == 1 && (block + blocks) * kBlock <= problem_.n;
  }
  // What several tasks read is packed before them, else each task packs what it multiplies next. Rows of float32, which
  // are copied as they are, always are the task's own.
  bool shared_panels() const { return row_tasks_ > 1; }
  bool shared_rows() const { return pairs_ && block_splits_ > 1; }
  int64_t row_space() const { return ceil_div(row_task_, kBlock) * kBlock; }  // for the rows of a task
  int64_t row_floats(int64_t depth) const;                                    // of a task's rows
  int64_t panel_floats(int64_t depth) const;                                  // of a block of columns
  int64_t panel_block_floats() const { return panel_floats(shared_panels() ? problem_.k : depth_); }
  int64_t shared_row_floats() const;
  int64_t shared_panel_floats() const;
  int64_t part_floats() const { return parts_ > 1 ? squares() * parts_ * sum_floats() : 0; }
  int64_t sum_floats() const { return row_task_ * block_task_ * kBlock; }
  int64_t own_row_floats() const { return kind_ == BrgemmRows::kPixels && !shared_rows() ? row_floats(depth_) : 0; }
  int64_t own_panel_floats() const { return shared_panels() ? 0 : block_task_ * panel_floats(depth_); }
  int64_t scratch_floats() const {
    return apart(own_row_floats() + own_panel_floats() + (parts_ > 1 ? 0 : sum_floats()));
  }

  GemmProblem problem_;  // as computed: A and B swapped when swapped_, C then being the transpose
  const BrgemmKernels* kernels_ = nullptr;
  BrgemmRows kind_ = BrgemmRows::kPixels;
  bool swapped_ = false;
  bool pairs_ = false;                         // operands are words of bfloat16 pairs
  int64_t planes_ = 1;                         // copies of the operands: one of float32, or the planes of bfloat16
  int64_t unit_depth_ = 16;                    // of the depth: 16 words, two depths to a pair
  std::vector<std::pair<int, int>> products_;  // of planes of A and B, that are added up
  double work_ = 0;   // multiplications and additions, as many as float32 does in the same time
  int64_t step_ = 1;  // blocks of columns that a tile takes at once
  int threads_ = 1;
  double cut_ = 1;
  int64_t blocks_ = 0, row_task_ = 1, row_tasks_ = 1, block_task_ = 1, block_splits_ = 1;
  int64_t depth_ = 1;                   // of one pass
  int64_t parts_ = 1, part_depth_ = 1;  // of the whole depth, each a task of its own
  Sources a_sources_, b_sources_;
  std::vector<ptrdiff_t> row_offsets_;  // kList
  std::vector<BrgemmEntry> entries_;    // kPixels: whole units of one pass
};

Status make_gemm(const OpSpec& spec, const GemmProblem& problem, int planes, std::unique_ptr<Operation>* operation);

}  // namespace fovea
