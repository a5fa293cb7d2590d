#include "ops/gemm.h"

#include <algorithm>
#include <cstring>

#include "kernels/layout/layout.h"
#include "ops/parallel.h"
#include "ops/tile_choice.h"

namespace fovea {

namespace {

constexpr int64_t kDepth = 128;     // of one pass, for the choice of tiles
constexpr int64_t kTaskRows = 144;  // of A, that a panel of B serves while it is in L1
constexpr int64_t kTasks = 16;
constexpr double kLeastFlops = 4e6;
constexpr int64_t kPackBlocks = 4;  // of 16 columns, packed by one task

int64_t even(int64_t whole, int64_t size) { return ceil_div(whole, ceil_div(whole, size)); }

}  // namespace

Status Gemm::plan(const GemmProblem& problem, int threads, Gemm* gemm) {
  Gemm& g = *gemm;
  g.problem_ = problem;
  GemmProblem& p = g.problem_;
  // Where B would have to be transposed into its panels and A is the smaller or is transposed itself: Cᵀ = Bᵀ·Aᵀ.
  g.swapped_ = p.b_row == 1 && p.b_column != 1 && (p.n > p.m || (p.a_row == 1 && p.a_column != 1));
  if (g.swapped_) {
    std::swap(p.m, p.n);
    std::swap(p.a_row, p.b_column);
    std::swap(p.a_column, p.b_row);
    std::swap(p.a_batch, p.b_batch);
  }
  g.kernels_ = &brgemm_kernels();
  g.threads_ = threads;
  g.blocks_ = blocks(p.n);
  const double panels =
      static_cast<double>(g.blocks_) * static_cast<double>(p.k) * static_cast<double>(p.b_batch.size()) * 64.0;
  if (panels > static_cast<double>(int64_t{1} << 44))
    return {Code::kMemory, "matrix product: workspace would exceed 16 TiB"};
  for (int64_t offset : p.b_batch) {
    const auto found = std::find(g.panel_sources_.begin(), g.panel_sources_.end(), offset);
    g.panel_of_.push_back(found - g.panel_sources_.begin());
    if (found == g.panel_sources_.end()) g.panel_sources_.push_back(offset);
  }

  g.step_ = choose_tiles(*g.kernels_, p.m, g.blocks_, std::min(p.k, kDepth)).nb;
  const int64_t step = g.step_, groups = ceil_div(g.blocks_, step), batches = static_cast<int64_t>(p.a_batch.size());
  const double flops = 2.0 * static_cast<double>(p.m) * static_cast<double>(p.n) * static_cast<double>(p.k) *
                       static_cast<double>(batches);
  const int64_t wanted = std::max<int64_t>(1, std::min(kTasks, static_cast<int64_t>(flops / kLeastFlops)));
  g.row_task_ = even(p.m, kTaskRows);
  g.row_tasks_ = ceil_div(p.m, g.row_task_);
  const int64_t splits = std::clamp<int64_t>(ceil_div(wanted, batches * g.row_tasks_), 1, groups);
  g.block_task_ = ceil_div(groups, splits) * step;
  g.block_splits_ = ceil_div(g.blocks_, g.block_task_);

  g.depth_ = std::min(p.k, std::max<int64_t>(kBlock, panel_bytes() / 4 / (step * kBlock) / kBlock * kBlock));
  if (p.a_column != 1 && p.a_row == 1)
    g.kind_ = BrgemmRows::kColumns;
  else
    g.kind_ = g.block_task_ >= 2 * step ? BrgemmRows::kPixels : BrgemmRows::kList;
  if (g.kind_ == BrgemmRows::kList) {
    for (int64_t i = 0; i < g.kernels_->rows[step - 1]; ++i) g.row_offsets_.push_back(i * p.a_row);
  }
  for (int64_t i = 0; i < g.depth_ / kBlock; ++i) g.entries_.push_back({i * g.row_task_ * kBlock, i * kBlock * kBlock});
  const int64_t packed = g.kind_ == BrgemmRows::kPixels ? g.row_task_ * ceil_div(g.depth_, kBlock) * kBlock : 0;
  g.scratch_floats_ = packed + g.row_task_ * g.block_task_ * kBlock;
  return {};
}

size_t Gemm::workspace_bytes() const {
  const int64_t panels = static_cast<int64_t>(panel_sources_.size()) * blocks_ * problem_.k * kBlock;
  return static_cast<size_t>(panels + std::max(problem_.n, problem_.m) + kBlock + threads_ * scratch_floats_ + kBlock) *
         sizeof(float);
}

Gemm::Task Gemm::task(int64_t index) const {
  Task t;
  t.block = index % block_splits_ * block_task_, index /= block_splits_;
  t.blocks = std::min(block_task_, blocks_ - t.block);
  t.row = index % row_tasks_ * row_task_, index /= row_tasks_;
  t.rows = std::min(row_task_, problem_.m - t.row);
  t.batch = index;
  return t;
}

// [block of 16 columns][k][16] of one matrix, blocks [first, last).
void Gemm::pack_panels(const float* b, int64_t first, int64_t last, float* panels) const {
  const GemmProblem& p = problem_;
  for (int64_t block = first; block < last; ++block) {
    const int64_t columns = std::min<int64_t>(kBlock, p.n - block * kBlock);
    const float* from = b + block * kBlock * p.b_column;
    float* to = panels + block * p.k * kBlock;
    if (p.b_column != 1) {
      layout_kernels().to_blocked(from, p.b_column, static_cast<int>(columns), p.k, to);
      continue;
    }
    for (int64_t q = 0; q < p.k; ++q, from += p.b_row, to += kBlock) {
      if (columns == kBlock) {
        std::memcpy(to, from, kBlock * sizeof(float));
      } else {
        for (int64_t j = 0; j < kBlock; ++j) to[j] = j < columns ? from[j] : 0;
      }
    }
  }
}

void Gemm::run_task(const Task& task, const float* a, const float* panels, const float* bias, float* c,
                    float* scratch) const {
  const GemmProblem& p = problem_;
  float* const sums = scratch;  // [block][row][16]
  float* const packed = scratch + row_task_ * block_task_ * kBlock;
  const float* source = a + p.a_batch[static_cast<size_t>(task.batch)] + task.row * p.a_row;
  BrgemmCall call{};
  call.a_step = p.a_column;
  call.a_rows = row_offsets_.data();
  call.b_block = p.k * kBlock;
  const int64_t tiles = ceil_div(task.rows, kernels_->rows[step_ - 1]);
  for (int64_t first = 0; first < p.k; first += depth_) {
    const int64_t depth = std::min(depth_, p.k - first);
    const bool pixels = kind_ == BrgemmRows::kPixels;
    if (pixels) {
      for (int64_t i = 0; i < task.rows; ++i) {
        for (int64_t q = 0; q < depth; q += kBlock) {
          std::memcpy(packed + (q * row_task_ + i * kBlock), source + i * p.a_row + first + q,
                      static_cast<size_t>(std::min<int64_t>(kBlock, depth - q)) * sizeof(float));
        }
      }
    }
    for (int64_t block = task.block; block < task.block + task.blocks; block += step_) {
      const int nb = static_cast<int>(std::min<int64_t>(step_, task.block + task.blocks - block));
      const bool whole = direct(block, nb);
      call.c_row = whole ? p.n : kBlock;
      call.c_block = whole ? kBlock : row_task_ * kBlock;
      float* target = whole ? c + (task.batch * p.m + task.row) * p.n + block * kBlock
                            : sums + (block - task.block) * row_task_ * kBlock;
      for (int64_t tile = 0; tile < tiles; ++tile) {
        const int64_t row = task.rows * tile / tiles;
        const int m = static_cast<int>(task.rows * (tile + 1) / tiles - row);
        call.c = target + row * call.c_row;
        // Whole blocks of 16 depths at once, then what is left.
        const int64_t head = pixels ? depth / kBlock * kBlock : depth;
        for (int64_t q = 0; q < depth; q += std::max<int64_t>(head, 1)) {
          static const BrgemmEntry start{0, 0};
          const bool tail = pixels && q >= head;
          call.entries = pixels && !tail ? entries_.data() : &start;
          call.count = pixels && !tail ? head / kBlock : 1;
          call.depth = !pixels ? depth : tail ? depth - head : kBlock;
          call.a = pixels ? packed + q * row_task_ + row * kBlock : source + row * p.a_row + first * p.a_column;
          call.b = panels + block * call.b_block + (first + q) * kBlock;
          const int64_t done = first + q + call.count * call.depth;
          call.accumulate = first + q > 0;
          call.bias = whole && bias && done == p.k ? bias + block * kBlock : nullptr;
          call.relu = whole && p.relu && done == p.k;
          kernels_->at(kind_, m, nb)(call);
          if (tail || head == 0) break;
        }
      }
    }
  }
  write_scratch(task, sums, bias, c);
}

void Gemm::write_scratch(const Task& task, const float* sums, const float* bias, float* c) const {
  const GemmProblem& p = problem_;
  const auto finish = [&](float x, float add) { return p.relu && x + add < 0 ? 0.f : x + add; };
  for (int64_t block = task.block; block < task.block + task.blocks; block += step_) {
    const int64_t nb = std::min<int64_t>(step_, task.block + task.blocks - block);
    if (direct(block, nb)) continue;
    for (int64_t one = block; one < block + nb; ++one) {
      const float* from = sums + (one - task.block) * row_task_ * kBlock;
      const int64_t columns = std::min<int64_t>(kBlock, p.n - one * kBlock);
      if (swapped_) {
        float* to = c + (task.batch * p.n + one * kBlock) * p.m + task.row;
        layout_kernels().from_blocked(from, p.m, static_cast<int>(columns), task.rows, to);
        for (int64_t j = 0; j < columns && (bias || p.relu); ++j) {
          for (int64_t i = 0; i < task.rows; ++i)
            to[j * p.m + i] = finish(to[j * p.m + i], bias ? bias[task.row + i] : 0);
        }
        continue;
      }
      for (int64_t i = 0; i < task.rows; ++i) {
        float* to = c + (task.batch * p.m + task.row + i) * p.n + one * kBlock;
        for (int64_t j = 0; j < columns; ++j) to[j] = finish(from[i * kBlock + j], bias ? bias[one * kBlock + j] : 0);
      }
    }
  }
}

Status Gemm::run(const RunContext& context, const float* a, const float* b, const float* bias, float* c,
                 std::byte* workspace) const {
  const GemmProblem& p = problem_;
  if (swapped_) std::swap(a, b);
  float* panels = reinterpret_cast<float*>(workspace);
  const int64_t matrix = blocks_ * p.k * kBlock, groups = ceil_div(blocks_, kPackBlocks);
  float* scratch = panels + static_cast<int64_t>(panel_sources_.size()) * matrix;
  FOVEA_RETURN_IF_ERROR(for_tasks(context, static_cast<int64_t>(panel_sources_.size()) * groups, [&](int64_t index) {
    const int64_t source = index / groups, first = index % groups * kPackBlocks;
    pack_panels(b + panel_sources_[static_cast<size_t>(source)], first, std::min(blocks_, first + kPackBlocks),
                panels + source * matrix);
  }));
  context.pool.parallel_for(tasks(), [&](int64_t index, int thread) {
    if (context.cancelled.load(std::memory_order_relaxed)) return;
    const Task t = task(index);
    run_task(t, a, panels + panel_of_[static_cast<size_t>(t.batch)] * matrix, p.bias ? bias : nullptr, c,
             scratch + thread * scratch_floats_);
  });
  return context.cancelled.load(std::memory_order_relaxed) ? Status(Code::kAborted, "cancelled") : Status();
}

std::string Gemm::describe() const {
  static const char* const kinds[] = {"A packed", "", "", "A by columns", "A by rows"};
  return std::string(kernels_->name) + " x" + std::to_string(step_ * kBlock) + ", " + kinds[static_cast<int>(kind_)] +
         (swapped_ ? ", transposed" : "") + ", rows " + std::to_string(row_task_) + ", columns " +
         std::to_string(block_task_ * kBlock) + ", tasks " + std::to_string(tasks());
}

}  // namespace fovea
