#include "ops/gemm.h"

#include <algorithm>
#include <cstring>

#include "kernels/bf16/bf16.h"
#include "kernels/layout/layout.h"
#include "ops/bf16_products.h"
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
constexpr int64_t kExactUnits = 2;    // that six products add up in one sum, for it to be as exact as float32's

}  // namespace

Gemm::Sources::Sources(const std::vector<int64_t>& batch) {
  for (int64_t offset : batch) {
    const auto found = std::find(offsets.begin(), offsets.end(), offset);
    of.push_back(static_cast<size_t>(found - offsets.begin()));
    if (found == offsets.end()) offsets.push_back(offset);
  }
}

Status Gemm::plan(const OpSpec& spec, const GemmProblem& problem, int planes, Gemm* gemm) {
  Gemm& g = *gemm;
  g.problem_ = problem;
  GemmProblem& p = g.problem_;
  // Where B would have to be transposed into its panels and A is the smaller or is transposed itself: Cᵀ = Bᵀ·Aᵀ.
  g.swapped_ = p.b_row == 1 && p.b_column != 1 && (p.n > p.m || (p.a_row == 1 && p.a_column != 1));
  if (g.swapped_) p = p.transposed();
  g.pairs_ = planes > 0;
  g.kernels_ = g.pairs_ ? brgemm_bf16_kernels() : &brgemm_kernels();
  g.planes_ = std::max(1, planes);
  g.products_ = plane_products(g.planes_);
  g.unit_depth_ = g.pairs_ ? kPairUnit : kBlock;
  g.work_ = g.pairs_ ? p.flops() / bf16_speed(planes) : p.flops();
  g.threads_ = spec.threads;
  g.cut_ = spec.cut;
  g.blocks_ = blocks(p.n);
  g.a_sources_ = Sources(p.a_batch);
  g.b_sources_ = Sources(p.b_batch);
  const double packed = static_cast<double>(g.blocks_) * static_cast<double>(g.b_sources_.count()) * kBlock +
                        static_cast<double>(p.m) * static_cast<double>(g.a_sources_.count());
  if (packed * static_cast<double>(p.k * g.planes_) * 4 > static_cast<double>(int64_t{1} << 44))
    return {Code::kMemory, "matrix product: workspace would exceed 16 TiB"};
  g.choose_depth(spec.tile_blocks);
  g.choose_tasks();
  if (g.kind_ == BrgemmRows::kList) {
    for (int64_t i = 0; i < g.kernels_->rows[g.step_ - 1]; ++i) g.row_offsets_.push_back(i * p.a_row);
  }
  const int64_t row_plane = g.row_space() * kBlock, panel_plane = kBlock * kBlock;
  for (int64_t unit = 0; unit < ceil_div(g.depth_, g.unit_depth_); ++unit) {
    for (const auto& [a, b] : g.products_)
      g.entries_.push_back({(unit * g.planes_ + a) * row_plane, (unit * g.planes_ + b) * panel_plane});
  }
  return {};
}

// Everything that decides in which order an element is added up: from the shape alone. Rows of A are packed for tiles
// of 14 rows that read them twice and more; the six of 256 bits are as many streams as the hardware follows by itself
// (64×3136 by 3136×128: 1.67 times, 512×1024 by 1024×1024: 1.04 times as fast as packed, Zen 3).
void Gemm::choose_depth(int tile_blocks) {
  const GemmProblem& p = problem_;
  step_ = choose_tiles(*kernels_, p.m, blocks_, std::min(p.k, kDepth), tile_blocks).nb;
  if (pairs_)
    kind_ = BrgemmRows::kPixels;
  else if (p.a_column != 1 && p.a_row == 1)
    kind_ = BrgemmRows::kColumns;
  else
    kind_ = kernels_->lanes == 16 && blocks_ >= 2 * step_ ? BrgemmRows::kPixels : BrgemmRows::kList;
  const int64_t fitting = panel_bytes(*kernels_) / 4 / (step_ * kBlock * kBlock * planes_);
  const int64_t units = std::max<int64_t>(1, planes_ == kMaxPlanes ? std::min(fitting, kExactUnits) : fitting);
  depth_ = std::min(p.k, units * unit_depth_);

  // A small C of long sums has not enough rows and columns to make tasks of.
  const int64_t squares = static_cast<int64_t>(p.a_batch.size()) * ceil_div(p.m, kTaskRows) * ceil_div(blocks_, step_);
  const int64_t worth = std::min(p.k / kLeastDepth, static_cast<int64_t>(work_ / kLeastFlops));
  const int64_t parts = std::clamp<int64_t>(ceil_div(kParts, squares), 1, std::max<int64_t>(1, worth));
  part_depth_ = parts == 1 ? p.k : ceil_div(ceil_div(p.k, parts), unit_depth_) * unit_depth_;
  parts_ = ceil_div(p.k, part_depth_);
}

// Which rows and columns a task takes: no bits depend on it, so it may depend on the threads.
void Gemm::choose_tasks() {
  const GemmProblem& p = problem_;
  const int64_t groups = ceil_div(blocks_, step_), others = static_cast<int64_t>(p.a_batch.size()) * parts_;
  const int64_t worth = std::max<int64_t>(1, static_cast<int64_t>(work_ / kLeastFlops));
  const int64_t wanted = times(std::min(std::max(kTasks, kTasksPerThread * threads_), worth), cut_);
  row_task_ = even(p.m, kTaskRows);
  const int64_t splits = std::clamp<int64_t>(ceil_div(wanted, others * ceil_div(p.m, row_task_)), 1, groups);
  block_task_ = ceil_div(groups, splits) * step_;
  block_splits_ = ceil_div(blocks_, block_task_);
  const int64_t cuts = std::min(ceil_div(wanted, others * block_splits_), std::max<int64_t>(1, p.m / kLeastRows));
  row_task_ = std::min(row_task_, ceil_div(p.m, cuts));
  row_tasks_ = ceil_div(p.m, row_task_);
}

int64_t Gemm::panel_floats(int64_t depth) const {
  return (pairs_ ? ceil_div(depth, kPairUnit) * planes_ * kBlock : depth) * kBlock;
}

int64_t Gemm::row_floats(int64_t depth) const { return ceil_div(depth, unit_depth_) * planes_ * row_space() * kBlock; }

int64_t Gemm::shared_row_floats() const {
  return shared_rows() ? a_sources_.count() * row_tasks_ * row_floats(problem_.k) : 0;
}

int64_t Gemm::shared_panel_floats() const {
  return shared_panels() ? b_sources_.count() * blocks_ * panel_floats(problem_.k) : 0;
}

size_t Gemm::workspace_bytes() const {
  const int64_t shared = shared_panel_floats() + shared_row_floats() + part_floats();
  return static_cast<size_t>(shared + threads_ * scratch_floats()) * sizeof(float);
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

// [unit of depths][plane][row of the task][16 words], depths [first, first + depth) of `rows` rows from `a` on.
void Gemm::pack_rows(const float* a, int64_t rows, int64_t first, int64_t depth, float* packed) const {
  const GemmProblem& p = problem_;
  const int64_t plane = row_space() * kBlock;
  for (int64_t i = 0; i < rows; i += pairs_ ? kBlock : 1) {
    for (int64_t q = 0; q < depth; q += unit_depth_) {
      const float* from = a + i * p.a_row + (first + q) * p.a_column;
      float* to = packed + q / unit_depth_ * planes_ * plane + i * kBlock;
      const int64_t depths = std::min(unit_depth_, depth - q);
      if (pairs_) {
        bf16_kernels()->square(from, p.a_row, p.a_column, static_cast<int>(std::min<int64_t>(kBlock, rows - i)),
                               static_cast<int>(depths), true, static_cast<int>(planes_), to, plane);
      } else {
        std::memcpy(to, from, static_cast<size_t>(depths) * sizeof(float));
      }
    }
  }
}

// [block of 16 columns][unit of depths][plane][word][16] of one matrix, or [block][depth][16] of float32: blocks
// [first_block, last_block), depths [first, first + depth). Where rows of B are contiguous, a few of them are read from
// end to end: with one block after another each of them would be fetched a line at a time, 2 times as slowly from
// memory.
void Gemm::pack_panels(const float* b, int64_t first_block, int64_t last_block, int64_t first, int64_t depth,
                       float* panels) const {
  const GemmProblem& p = problem_;
  const int64_t step = p.b_column == 1 ? std::min(depth, unit_depth_) : depth;
  for (int64_t q = 0; q < depth; q += step) {
    for (int64_t block = first_block; block < last_block; ++block) {
      const float* from = b + block * kBlock * p.b_column + (first + q) * p.b_row;
      pack_block(from, std::min<int64_t>(kBlock, p.n - block * kBlock), std::min(step, depth - q),
                 panels + (block - first_block) * panel_block_floats() + panel_floats(q));
    }
  }
}

// Columns of one block, from element (0, 0) on.
void Gemm::pack_block(const float* from, int64_t columns, int64_t depth, float* to) const {
  const GemmProblem& p = problem_;
  if (pairs_) {
    for (int64_t q = 0; q < depth; q += kPairUnit, to += planes_ * kBlock * kBlock) {
      bf16_kernels()->square(from + q * p.b_row, p.b_column, p.b_row, static_cast<int>(columns),
                             static_cast<int>(std::min(kPairUnit, depth - q)), false, static_cast<int>(planes_), to,
                             kBlock * kBlock);
    }
  } else if (p.b_column != 1) {
    layout_kernels().to_blocked(from, p.b_column, static_cast<int>(columns), depth, to);
  } else {
    for (int64_t q = 0; q < depth; ++q, from += p.b_row, to += kBlock) {
      if (columns == kBlock) {
        std::memcpy(to, from, kBlock * sizeof(float));
      } else {
        for (int64_t j = 0; j < kBlock; ++j) to[j] = j < columns ? from[j] : 0;
      }
    }
  }
}

// Whole matrices, for all tasks: panels first, since every task needs some.
Status Gemm::pack_shared(const RunContext& context, float* panels, float* rows) const {
  const GemmProblem& p = problem_;
  const int64_t block_floats = panel_floats(p.k), matrix = blocks_ * block_floats;
  const int64_t per_task = units_per_task(p.k * kBlock), groups = ceil_div(blocks_, per_task);
  const int64_t panel_tasks = shared_panels() ? b_sources_.count() * groups : 0;
  const int64_t row_tasks = shared_rows() ? a_sources_.count() * row_tasks_ : 0;
  const auto pack = [&](int64_t index) {
    if (index < panel_tasks) {
      const int64_t source = index / groups, first = index % groups * per_task;
      pack_panels(p.b(context) + b_sources_.offsets[static_cast<size_t>(source)], first,
                  std::min(blocks_, first + per_task), 0, p.k, panels + source * matrix + first * block_floats);
      return;
    }
    index -= panel_tasks;
    const int64_t source = index / row_tasks_, row = index % row_tasks_ * row_task_;
    pack_rows(p.a(context) + a_sources_.offsets[static_cast<size_t>(source)] + row * p.a_row,
              std::min(row_task_, p.m - row), 0, p.k, rows + index * row_floats(p.k));
  };
  return for_tasks(context, panel_tasks + row_tasks, pack,
                   nanoseconds_of(static_cast<double>(shared_panel_floats() + shared_row_floats())));
}

// Returns whether all sums were finite.
bool Gemm::run_task(const Task& task, const RunContext& context, const Scratch& scratch) const {
  const GemmProblem& p = problem_;
  const size_t batch = static_cast<size_t>(task.batch);
  const float* const a = p.a(context) + p.a_batch[batch] + task.row * p.a_row;
  const float* const b = p.b(context) + p.b_batch[batch];
  const float* const bias = p.bias_of(context);
  float* const c = context.out<float>(0);
  const int64_t shared_row = static_cast<int64_t>(a_sources_.of[batch]) * row_tasks_ + task.row / row_task_;
  const int64_t shared_panel = static_cast<int64_t>(b_sources_.of[batch]) * blocks_ + task.block;
  bool not_finite = false;
  for (int64_t first = task.first; first < task.last; first += depth_) {
    const int64_t depth = std::min(depth_, task.last - first);
    Operands operands{a + first * p.a_column, scratch.panels, p.a_row};
    if (kind_ == BrgemmRows::kPixels) {
      operands.row_step = kBlock;
      operands.rows = scratch.rows;
      if (shared_rows())
        operands.rows = scratch.shared_rows + shared_row * row_floats(p.k) + row_floats(first);
      else
        pack_rows(a, task.rows, first, depth, scratch.rows);
    }
    if (shared_panels())
      operands.panels = scratch.shared_panels + shared_panel * panel_floats(p.k) + panel_floats(first);
    else
      pack_panels(b, task.block, task.block + task.blocks, first, depth, scratch.panels);
    add_pass(task, first, depth, operands, bias, c, scratch.sums, &not_finite);
  }
  for (int64_t block = task.block; block < task.block + task.blocks && parts_ == 1; block += step_) {
    const int64_t nb = std::min<int64_t>(step_, task.block + task.blocks - block);
    for (int64_t one = block; one < block + nb && !direct(block, nb); ++one)
      write_block(task, one, scratch.sums + (one - task.block) * row_task_ * kBlock, bias, c);
  }
  return !not_finite;
}

// One pass over `depth` depths: whole units at once, then what is left of float32's, which is not filled up.
std::vector<Gemm::Span> Gemm::spans(int64_t depth) const {
  static const BrgemmEntry start{0, 0};
  if (kind_ != BrgemmRows::kPixels) return {{&start, 1, depth, 0, 0}};
  const int64_t units = pairs_ ? ceil_div(depth, kPairUnit) : depth / kBlock, rest = depth - units * unit_depth_;
  std::vector<Span> spans;
  if (units > 0) spans.push_back({entries_.data(), units * static_cast<int64_t>(products_.size()), kBlock, 0, 0});
  if (rest > 0) spans.push_back({&start, 1, rest, row_floats(units * kBlock), panel_floats(units * kBlock)});
  return spans;
}

// C or the sums += A·B over the depths [first, first + depth).
void Gemm::add_pass(const Task& task, int64_t first, int64_t depth, const Operands& operands, const float* bias,
                    float* c, float* sums, bool* not_finite) const {
  const GemmProblem& p = problem_;
  const bool last = first + depth == p.k;
  const std::vector<Span> spans = this->spans(depth);
  BrgemmCall call{};
  call.a_step = p.a_column;
  call.a_rows = row_offsets_.data();
  call.b_block = panel_block_floats();
  call.not_finite = not_finite;
  call.a_goes_on = pairs_;  // rows are packed in sixteens
  const int64_t most = kernels_->rows[step_ - 1], tiles = ceil_div(task.rows, most);
  for (int64_t block = task.block; block < task.block + task.blocks; block += step_) {
    const int nb = static_cast<int>(std::min<int64_t>(step_, task.block + task.blocks - block));
    const bool whole = direct(block, nb);
    call.c_row = whole ? p.n : kBlock;
    call.c_block = whole ? kBlock : row_task_ * kBlock;
    float* target = whole ? c + (task.batch * p.m + task.row) * p.n + block * kBlock
                          : sums + (block - task.block) * row_task_ * kBlock;
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const int64_t row = tile_begin(*kernels_, most, task.rows, tile);
      const int m = static_cast<int>(tile_begin(*kernels_, most, task.rows, tile + 1) - row);
      call.c = target + row * call.c_row;
      call.accumulate = first > task.first;
      for (const Span& span : spans) {
        const bool end = last && &span == &spans.back();
        call.entries = span.entries;
        call.count = span.count;
        call.depth = span.depth;
        call.a = operands.rows + row * operands.row_step + span.a;
        call.b = operands.panels + (block - task.block) * call.b_block + span.b;
        call.bias = whole && bias && end ? bias + block * kBlock : nullptr;
        call.relu = whole && p.relu && end;
        kernels_->at(kind_, m, nb)(call);
        call.accumulate = true;
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
Status Gemm::write_parts(const RunContext& context, float* sums) const {
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
        if (context.not_finite && !finite(total, t.rows * kBlock)) report_not_finite(context);
        write_block(t, t.block + block, total, problem_.bias_of(context), context.out<float>(0));
      },
      nanoseconds_of(static_cast<double>(part_floats())));
}

Status Gemm::run(const RunContext& context) const {
  float* const shared_panels = reinterpret_cast<float*>(context.workspace);
  float* const shared_rows = shared_panels + shared_panel_floats();
  float* const part_sums = shared_rows + shared_row_floats();
  float* const scratch = part_sums + part_floats();
  FOVEA_RETURN_IF_ERROR(pack_shared(context, shared_panels, shared_rows));
  context.pool.parallel_for(
      squares() * parts_,
      [&](int64_t index, int thread) {
        if (context.cancelled.load(std::memory_order_relaxed)) return;
        Scratch own{shared_panels, shared_rows};
        own.rows = scratch + thread * scratch_floats();
        own.panels = own.rows + own_row_floats();
        own.sums = parts_ > 1 ? part_sums + index * sum_floats() : own.panels + own_panel_floats();
        const BrgemmScope scope(*kernels_);
        if (!run_task(task(index), context, own)) report_not_finite(context);
      },
      nanoseconds_of_flops(work_));
  if (context.cancelled.load(std::memory_order_relaxed)) return {Code::kAborted, "cancelled"};
  return parts_ > 1 ? write_parts(context, part_sums) : Status();
}

std::string Gemm::describe() const {
  static const char* const kinds[] = {"A packed", "", "", "A by columns", "A by rows"};
  return std::string(pairs_ ? "bf16: " : "brgemm: ") + kernels_->name + " x" + std::to_string(step_ * kBlock) +
         (pairs_ ? ", " + std::to_string(products_.size()) + " products" : "") + ", " + kinds[static_cast<int>(kind_)] +
         (swapped_ ? ", transposed" : "") + ", rows " + std::to_string(row_task_) + ", columns " +
         std::to_string(block_task_ * kBlock) + ", parts " + std::to_string(parts_) + ", tasks " +
         std::to_string(squares() * parts_);
}

Status make_gemm(const OpSpec& spec, const GemmProblem& problem, int planes, std::unique_ptr<Operation>* operation) {
  auto gemm = std::make_unique<Gemm>();
  FOVEA_RETURN_IF_ERROR(Gemm::plan(spec, problem, planes, gemm.get()));
  *operation = std::move(gemm);
  return {};
}

}  // namespace fovea
