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
constexpr int64_t kLeastRows = 36;  // when there are not enough tasks: still some tiles for each panel
constexpr int64_t kTasks = 16;      // the least for a few threads
constexpr int64_t kTasksPerThread = 8;
constexpr double kLeastFlops = 1e6;   // of one task: some 5 microseconds
constexpr int64_t kParts = 8;         // when rows and columns do not make so many tasks, the depth is cut
constexpr int64_t kLeastDepth = 256;  // of a part: adding up the parts then stays below a few percent

int64_t even(int64_t whole, int64_t size) { return ceil_div(whole, ceil_div(whole, size)); }

}  // namespace

Status Gemm::plan(const GemmProblem& problem, int threads, Gemm* gemm) {
  Gemm& g = *gemm;
  g.problem_ = problem;
  GemmProblem& p = g.problem_;
  // Where B would have to be transposed into its panels and A is the smaller or is transposed itself: Cᵀ = Bᵀ·Aᵀ.
  g.swapped_ = p.b_row == 1 && p.b_column != 1 && (p.n > p.m || (p.a_row == 1 && p.a_column != 1));
  if (g.swapped_) p = p.transposed();
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
  g.choose_depth();
  g.choose_tasks();
  if (g.kind_ == BrgemmRows::kList) {
    for (int64_t i = 0; i < g.kernels_->rows[g.step_ - 1]; ++i) g.row_offsets_.push_back(i * p.a_row);
  }
  for (int64_t i = 0; i < g.depth_ / kBlock; ++i) g.entries_.push_back({i * g.row_task_ * kBlock, i * kBlock * kBlock});
  return {};
}

// Everything that decides in which order an element is added up: from the shape alone.
void Gemm::choose_depth() {
  const GemmProblem& p = problem_;
  step_ = choose_tiles(*kernels_, p.m, blocks_, std::min(p.k, kDepth)).nb;
  if (p.a_column != 1 && p.a_row == 1)
    kind_ = BrgemmRows::kColumns;
  else
    kind_ = blocks_ >= 2 * step_ ? BrgemmRows::kPixels : BrgemmRows::kList;
  depth_ = std::min(p.k, std::max<int64_t>(kBlock, panel_bytes(*kernels_) / 4 / (step_ * kBlock) / kBlock * kBlock));

  // A small C of long sums has not enough rows and columns to make tasks of.
  const int64_t squares = static_cast<int64_t>(p.a_batch.size()) * ceil_div(p.m, kTaskRows) * ceil_div(blocks_, step_);
  const int64_t worth = std::min(p.k / kLeastDepth, static_cast<int64_t>(p.flops() / kLeastFlops));
  const int64_t parts = std::clamp<int64_t>(ceil_div(kParts, squares), 1, std::max<int64_t>(1, worth));
  part_depth_ = parts == 1 ? p.k : ceil_div(ceil_div(p.k, parts), kBlock) * kBlock;
  parts_ = ceil_div(p.k, part_depth_);
}

// Which rows and columns a task takes: no bits depend on it, so it may depend on the threads.
void Gemm::choose_tasks() {
  const GemmProblem& p = problem_;
  const int64_t groups = ceil_div(blocks_, step_), others = static_cast<int64_t>(p.a_batch.size()) * parts_;
  const int64_t worth = std::max<int64_t>(1, static_cast<int64_t>(p.flops() / kLeastFlops));
  const int64_t wanted = std::min(std::max(kTasks, kTasksPerThread * threads_), worth);
  row_task_ = even(p.m, kTaskRows);
  const int64_t splits = std::clamp<int64_t>(ceil_div(wanted, others * ceil_div(p.m, row_task_)), 1, groups);
  block_task_ = ceil_div(groups, splits) * step_;
  block_splits_ = ceil_div(blocks_, block_task_);
  const int64_t cuts = std::min(ceil_div(wanted, others * block_splits_), std::max<int64_t>(1, p.m / kLeastRows));
  row_task_ = std::min(row_task_, ceil_div(p.m, cuts));
  row_tasks_ = ceil_div(p.m, row_task_);
}

int64_t Gemm::shared_floats() const {
  const int64_t panels = shared_panels() ? static_cast<int64_t>(panel_sources_.size()) * blocks_ * problem_.k : 0;
  return panels * kBlock + (parts_ > 1 ? squares() * parts_ * sum_floats() : 0);
}

int64_t Gemm::packed_floats() const {
  return kind_ == BrgemmRows::kPixels ? row_task_ * ceil_div(depth_, kBlock) * kBlock : 0;
}

int64_t Gemm::scratch_floats() const {
  const int64_t panels = shared_panels() ? 0 : block_task_ * panel_block_floats();
  return panels + ceil_div(packed_floats(), kBlock) * kBlock + (parts_ > 1 ? 0 : sum_floats());
}

size_t Gemm::workspace_bytes() const {
  return static_cast<size_t>(shared_floats() + threads_ * scratch_floats()) * sizeof(float);
}

Gemm::Task Gemm::task(int64_t index) const {
  Task t;
  t.first = index % parts_ * part_depth_, index /= parts_;
  t.last = std::min(problem_.k, t.first + part_depth_);
  t.block = index % block_splits_ * block_task_, index /= block_splits_;
  t.blocks = std::min(block_task_, blocks_ - t.block);
  t.row = index % row_tasks_ * row_task_, index /= row_tasks_;
  t.rows = std::min(row_task_, problem_.m - t.row);
  t.batch = index;
  return t;
}

// [block of 16 columns][depth][16] of one matrix, blocks [first_block, last_block), depths [first, first + depth).
void Gemm::pack_panels(const float* b, int64_t first_block, int64_t last_block, int64_t first, int64_t depth,
                       float* panels, int64_t block_floats) const {
  const GemmProblem& p = problem_;
  for (int64_t block = first_block; block < last_block; ++block, panels += block_floats) {
    const int64_t columns = std::min<int64_t>(kBlock, p.n - block * kBlock);
    const float* from = b + block * kBlock * p.b_column + first * p.b_row;
    if (p.b_column != 1) {
      layout_kernels().to_blocked(from, p.b_column, static_cast<int>(columns), depth, panels);
      continue;
    }
    float* to = panels;
    for (int64_t q = 0; q < depth; ++q, from += p.b_row, to += kBlock) {
      if (columns == kBlock) {
        std::memcpy(to, from, kBlock * sizeof(float));
      } else {
        for (int64_t j = 0; j < kBlock; ++j) to[j] = j < columns ? from[j] : 0;
      }
    }
  }
}

void Gemm::run_task(const Task& task, const float* a, const float* b, const float* panels, const float* bias, float* c,
                    const Scratch& scratch) const {
  const GemmProblem& p = problem_;
  const float* rows = a + task.row * p.a_row;
  for (int64_t first = task.first; first < task.last; first += depth_) {
    const int64_t depth = std::min(depth_, task.last - first);
    if (kind_ == BrgemmRows::kPixels) {
      for (int64_t i = 0; i < task.rows; ++i) {
        for (int64_t q = 0; q < depth; q += kBlock) {
          std::memcpy(scratch.rows + (q * row_task_ + i * kBlock), rows + i * p.a_row + first + q,
                      static_cast<size_t>(std::min<int64_t>(kBlock, depth - q)) * sizeof(float));
        }
      }
    }
    const float* pass = panels + task.block * panel_block_floats() + first * kBlock;
    if (!shared_panels()) {
      pack_panels(b, task.block, task.block + task.blocks, first, depth, scratch.panels, panel_block_floats());
      pass = scratch.panels;
    }
    add_pass(task, first, depth, rows, scratch.rows, pass, bias, c, scratch.sums);
  }
  for (int64_t block = task.block; block < task.block + task.blocks && parts_ == 1; block += step_) {
    const int64_t nb = std::min<int64_t>(step_, task.block + task.blocks - block);
    for (int64_t one = block; one < block + nb && !direct(block, nb); ++one)
      write_block(task, one, scratch.sums + (one - task.block) * row_task_ * kBlock, bias, c);
  }
}

// C or the sums += A·B over the depths [first, first + depth). `panels`: from the task's first block.
void Gemm::add_pass(const Task& task, int64_t first, int64_t depth, const float* source, const float* packed,
                    const float* panels, const float* bias, float* c, float* sums) const {
  static const BrgemmEntry start{0, 0};
  const GemmProblem& p = problem_;
  const bool pixels = kind_ == BrgemmRows::kPixels;
  BrgemmCall call{};
  call.a_step = p.a_column;
  call.a_rows = row_offsets_.data();
  call.b_block = panel_block_floats();
  const int64_t tiles = ceil_div(task.rows, kernels_->rows[step_ - 1]);
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
        const bool tail = pixels && q >= head;
        call.entries = pixels && !tail ? entries_.data() : &start;
        call.count = pixels && !tail ? head / kBlock : 1;
        call.depth = !pixels ? depth : tail ? depth - head : kBlock;
        call.a = pixels ? packed + q * row_task_ + row * kBlock : source + row * p.a_row + first * p.a_column;
        call.b = panels + (block - task.block) * call.b_block + q * kBlock;
        const int64_t done = first + q + call.count * call.depth;
        call.accumulate = first + q > task.first;
        call.bias = whole && bias && done == p.k ? bias + block * kBlock : nullptr;
        call.relu = whole && p.relu && done == p.k;
        kernels_->at(kind_, m, nb)(call);
        if (tail || head == 0) break;
      }
    }
  }
}

// What `sums` [row][16] hold for one block of columns goes to C.
void Gemm::write_block(const Task& task, int64_t block, const float* sums, const float* bias, float* c) const {
  const GemmProblem& p = problem_;
  const auto finish = [&](float x, float add) { return p.relu && x + add < 0 ? 0.f : x + add; };
  const int64_t columns = std::min<int64_t>(kBlock, p.n - block * kBlock);
  if (swapped_) {
    float* to = c + (task.batch * p.n + block * kBlock) * p.m + task.row;
    layout_kernels().from_blocked(sums, p.m, static_cast<int>(columns), task.rows, to);
    for (int64_t j = 0; j < columns && (bias || p.relu); ++j) {
      for (int64_t i = 0; i < task.rows; ++i) to[j * p.m + i] = finish(to[j * p.m + i], bias ? bias[task.row + i] : 0);
    }
    return;
  }
  for (int64_t i = 0; i < task.rows; ++i) {
    float* to = c + (task.batch * p.m + task.row + i) * p.n + block * kBlock;
    for (int64_t j = 0; j < columns; ++j) to[j] = finish(sums[i * kBlock + j], bias ? bias[block * kBlock + j] : 0);
  }
}

// The parts' sums, added in order.
Status Gemm::write_parts(const RunContext& context, const float* bias, float* c, float* sums) const {
  return for_tasks(
      context, squares() * block_task_,
      [&](int64_t index) {
        const int64_t square = index / block_task_, block = index % block_task_;
        const Task t = task(square * parts_);
        if (block >= t.blocks) return;
        float* total = sums + square * parts_ * sum_floats() + block * row_task_ * kBlock;
        for (int64_t part = 1; part < parts_; ++part) {
          const float* more = total + part * sum_floats();
          for (int64_t i = 0; i < t.rows * kBlock; ++i) total[i] += more[i];
        }
        write_block(t, t.block + block, total, bias, c);
      },
      nanoseconds_of(static_cast<double>(squares() * parts_ * sum_floats())));
}

Status Gemm::run(const RunContext& context) const {
  const GemmProblem& p = problem_;
  const float *a = p.a(context), *b = p.b(context), *bias = p.bias_of(context);
  float* c = context.out<float>(0);
  float* panels = reinterpret_cast<float*>(context.workspace);
  const int64_t matrix = shared_panels() ? blocks_ * p.k * kBlock : 0;
  if (shared_panels()) {
    const int64_t per_task = units_per_task(p.k * kBlock), groups = ceil_div(blocks_, per_task);
    FOVEA_RETURN_IF_ERROR(for_tasks(
        context, static_cast<int64_t>(panel_sources_.size()) * groups,
        [&](int64_t index) {
          const int64_t source = index / groups, first = index % groups * per_task;
          pack_panels(b + panel_sources_[static_cast<size_t>(source)], first, std::min(blocks_, first + per_task), 0,
                      p.k, panels + source * matrix + first * p.k * kBlock, p.k * kBlock);
        },
        nanoseconds_of(static_cast<double>(static_cast<int64_t>(panel_sources_.size()) * matrix))));
  }
  float* const part_sums = panels + static_cast<int64_t>(panel_sources_.size()) * matrix;
  float* const scratch = panels + shared_floats();
  context.pool.parallel_for(
      squares() * parts_,
      [&](int64_t index, int thread) {
        if (context.cancelled.load(std::memory_order_relaxed)) return;
        const Task t = task(index);
        Scratch own;
        own.rows = scratch + thread * scratch_floats();
        own.panels = own.rows + ceil_div(packed_floats(), kBlock) * kBlock;
        own.sums = parts_ > 1 ? part_sums + index * sum_floats() : own.rows + scratch_floats() - sum_floats();
        const size_t batch = static_cast<size_t>(t.batch);
        run_task(t, a + p.a_batch[batch], b + p.b_batch[batch], panels + panel_of_[batch] * matrix, bias, c, own);
      },
      nanoseconds_of_flops(p.flops()));
  if (context.cancelled.load(std::memory_order_relaxed)) return {Code::kAborted, "cancelled"};
  return parts_ > 1 ? write_parts(context, bias, c, part_sums) : Status();
}

std::string Gemm::describe() const {
  static const char* const kinds[] = {"A packed", "", "", "A by columns", "A by rows"};
  return std::string("brgemm: ") + kernels_->name + " x" + std::to_string(step_ * kBlock) + ", " +
         kinds[static_cast<int>(kind_)] + (swapped_ ? ", transposed" : "") + ", rows " + std::to_string(row_task_) +
         ", columns " + std::to_string(block_task_ * kBlock) + ", parts " + std::to_string(parts_) + ", tasks " +
         std::to_string(squares() * parts_);
}

Status make_gemm(const OpSpec& spec, const GemmProblem& problem, std::unique_ptr<Operation>* operation) {
  auto gemm = std::make_unique<Gemm>();
  FOVEA_RETURN_IF_ERROR(Gemm::plan(problem, spec.threads, gemm.get()));
  *operation = std::move(gemm);
  return {};
}

}  // namespace fovea
