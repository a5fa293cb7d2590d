// A ConvGradStream at work: task by task, chunk by chunk. How it is laid out: conv_grad_stream_plan.cc; its products of
// bfloat16 pairs: conv_grad_stream_pairs.cc.
#include "ops/conv_grad_stream.h"

#include <algorithm>

#include "kernels/layout/layout.h"
#include "ops/bf16_products.h"
#include "ops/parallel.h"

namespace fovea {

namespace {

constexpr float kOnes[1] = {1};

}  // namespace

ConvGradStream::Task ConvGradStream::task(int64_t index) const {
  Task t;
  t.unit = index % unit_splits() * unit_task_, index /= unit_splits();
  t.units = std::min(unit_task_, units_ - t.unit);
  t.tap = index % tap_splits() * tap_task_, index /= tap_splits();
  t.taps = std::min(tap_task_, taps_ - t.tap);
  t.block = index % block_splits() * block_task_, index /= block_splits();
  t.blocks = std::min(block_task_, blocks_ - t.block);
  t.group = index % problem_.groups, index /= problem_.groups;
  t.part = index;
  t.first_chunk = chunks_ * t.part / parts_;
  t.last_chunk = chunks_ * (t.part + 1) / parts_;
  t.bias = problem_.bias && t.unit == 0 && t.tap == 0;
  return t;
}

// The tiles of a unit that are the task's, and where their sums stand: [block][unit][tap of the task][lane].
ConvGradStream::RowsRange ConvGradStream::rows_of(const Task& task, int64_t unit) const {
  const std::vector<Rows>& all = rows_[static_cast<size_t>(task.unit + unit)];
  const int64_t count = static_cast<int64_t>(all.size());
  return {all.data() + count * task.tap / taps_, all.data() + count * (task.tap + task.taps) / taps_};
}

// Whether these rows have more than zeros in the round's blocks: the sums of the others are nobody's.
bool ConvGradStream::meets(const Task& task, const LaneRound& round, int64_t unit, const Rows& rows) const {
  if (problem_.weight.parts == 1) return true;
  const int64_t channel = (task.unit + unit) * kBlock + rows.channel;
  return channel < round.depths.end && channel + rows.m > round.depths.first;
}

float* ConvGradStream::sums_of(const Task& task, int64_t block, int64_t unit, const Rows& rows, float* sums) const {
  const int64_t row = (unit * task.taps - task.tap) * sum_lanes_ + rows.target;
  return sums + block * block_sum_floats() + row * kBlock;
}

ConvGradStream::Terms ConvGradStream::terms_of(const Chunk& chunk, const Window& window, int64_t dy_image) const {
  const int64_t columns = steps_of_row(), width = window.columns.end - window.columns.first;
  const int64_t image_a = direct_ ? problem_.groups * units_ * unit_floats_ : unit_task_ * unit_floats_;
  const AxisSpan rows = chunk.rows_of(window.rows);
  const bool flat = width == columns && pitch_ == columns;
  Terms terms{{}, flat ? (rows.end - rows.first) * columns : width, {}};
  for (int64_t image = 0; image < chunk.images; ++image) {
    for (int64_t row = rows.first; row < (flat ? std::min(rows.first + 1, rows.end) : rows.end); ++row) {
      terms.entries.push_back({image * image_a + row * pitch_ * pixel_floats_ +
                                   window.columns.first * problem_.columns.pace * lanes_ + window.offset,
                               image * dy_image + (row * columns + window.columns.first) * kBlock});
    }
  }
  return terms;
}

const std::vector<ConvGradStream::Terms>& ConvGradStream::terms_of_taps(const Chunk& chunk, int64_t dy_image,
                                                                        KnownTerms* known) const {
  if (known->images == chunk.images && known->dy_image == dy_image) return known->taps;
  *known = {chunk.images, dy_image, {}};
  for (const Window& window : windows_) {
    known->taps.push_back(abreast_                                ? image_terms_of(window)
                          : problem_.planes > 0 && !side_by_side_ ? pair_terms_of(chunk, window)
                                                                  : terms_of(chunk, window, dy_image));
  }
  return known->taps;
}

ConvGradStream::Chunk ConvGradStream::chunk_of(const Task& task, int64_t index, Values x, Values dy) const {
  Chunk c{};
  const int64_t first_image = index / bands_ * chunk_images_;
  c.images = std::min(chunk_images_, problem_.images - first_image);
  c.first_row = index % bands_ * band_;
  c.rows = std::min(band_, problem_.rows.outputs() - c.first_row);
  c.accumulate = index != task.first_chunk;
  const int64_t image_floats = problem_.groups * units_ * source_unit_floats_;
  c.x = x + first_image * image_floats + (task.group * units_ + task.unit) * source_unit_floats_;
  c.dy = dy + ((first_image * problem_.groups + task.group) * blocks_ + task.block) * plane() +
         c.first_row * problem_.columns.outputs() * kBlock;
  return c;
}

// Where it lies, or widened.
ConvGradStream::Gradient ConvGradStream::gradient_of(const Task& task, const Chunk& chunk, float* wide) const {
  const int64_t image_step = problem_.groups * blocks_ * plane();
  if (!chunk.dy.half()) return {chunk.dy.floats(), image_step, plane()};
  if (problem_.planes > 0 && !task.bias) return {};
  const int64_t pixels = chunk.rows * problem_.columns.outputs() * kBlock;
  for (int64_t image = 0; image < chunk.images; ++image) {
    for (int64_t block = 0; block < task.blocks; ++block) {
      layout_bf16_kernels()->widen((chunk.dy + image * image_step + block * plane()).halves(), pixels,
                                   wide + (image * task.blocks + block) * pixels);
    }
  }
  return {wide, task.blocks * pixels, pixels};
}

// Of dy, from the first row of the chunk on.
AxisSpan ConvGradStream::Chunk::rows_of(const AxisSpan& span) const {
  const int64_t first = std::clamp<int64_t>(span.first - first_row, 0, rows);
  return {first, std::clamp<int64_t>(span.end - first_row, first, rows)};
}

// What a task will read, in the order in which it comes to it: the rest of the chunk, and what the next one begins
// with. Channels that are packed, as pairs are, are read at the beginning of a chunk. Not what is rounded in memory and
// read as float32: that is widened first.
Ahead ConvGradStream::ahead(const Task& task, const Chunk& chunk, const Chunk* next) const {
  const GradProblem& p = problem_;
  Ahead ahead;
  // What is small L3 has in time: planes, unless they are more than an L2 (16 images of 3 channels at 224×224, stride
  // 2: 0.89 of the time; of 0.2 to 2 MB 1.03 to 1.06, Zen 4), and whole images.
  constexpr double kLargePlanes = 2 * 1024 * 1024;
  const double x_bytes = 4 * static_cast<double>(p.images * p.groups * units_ * source_unit_floats_);
  const double dy_bytes = 4 * static_cast<double>(p.images * p.groups * blocks_ * plane());
  const bool small = x_bytes < kLargePlanes && !outgrows_caches(dy_bytes);
  if (side_by_side_ || (p.planar ? small : direct_ && chunk_images_ > 1)) return ahead;
  const int64_t image_x = p.groups * units_ * source_unit_floats_, image_dy = p.groups * blocks_ * plane();
  const auto ask_x = [&](const Chunk& c, int64_t unit) {
    const AxisSpan rows = span_read(p.rows, c.first_row, c.rows);
    for (int64_t image = 0; image < c.images; ++image) {
      const Values x = c.x + image * image_x + unit * source_unit_floats_;
      ahead.add(x + rows.first * p.columns.source * lanes_, x + rows.end * p.columns.source * lanes_);
    }
  };
  const auto ask_dy = [&](const Chunk& c, int64_t first) {
    if (p.planes == 0 && c.dy.half()) return;
    for (int64_t block = first; block < std::min(first + step_, task.blocks); ++block) {
      for (int64_t image = 0; image < c.images; ++image) {
        const Values dy = c.dy + image * image_dy + block * plane();
        ahead.add(dy, dy + c.rows * p.columns.outputs() * kBlock);
      }
    }
  };
  for (int64_t unit = 1; unit < task.units && direct_; ++unit) ask_x(chunk, unit);
  for (int64_t block = step_; block < task.blocks; block += step_) ask_dy(chunk, block);
  if (!next) return ahead;
  for (int64_t unit = 0; unit < (direct_ ? 1 : task.units); ++unit) ask_x(*next, unit);
  ask_dy(*next, 0);
  return ahead;
}

void ConvGradStream::add_chunk(const Task& task, const Chunk& chunk, const Gradient& dy, float* packed, float* sums,
                               const std::vector<Terms>& terms, Ahead* ahead) const {
  const int64_t image_floats = problem_.groups * units_ * source_unit_floats_;
  const float* base = direct_ ? (chunk.x + chunk.first_row * pitch_ * lanes_).floats() : packed;
  if (!direct_) {
    for (int64_t image = 0; image < chunk.images; ++image) {
      for (int64_t unit = 0; unit < task.units; ++unit) {
        const Values x = chunk.x + image * image_floats + unit * source_unit_floats_;
        float* const copy = packed + (image * unit_task_ + unit) * unit_floats_;
        if (side_by_side_)
          joined_.pack(x, chunk.first_row, chunk.rows, copy);
        else
          pack_.pack(x, chunk.first_row, chunk.rows, copy);
      }
    }
  }
  BrgemmCall call{};
  call.a_step = side_by_side_ ? pixel_floats_ : problem_.columns.pace * lanes_;
  call.b_block = dy.block;
  call.c_row = kBlock;
  call.c_block = block_sum_floats();
  call.accumulate = chunk.accumulate;
  call.not_finite = chunk.not_finite;
  for (const LaneRound& round : rounds_.of(task.block, task.blocks)) {
    const int64_t block = round.block - task.block;
    const int nb = static_cast<int>(round.blocks);
    call.b = dy.at + block * dy.block;
    for (int64_t unit = 0; unit < task.units; ++unit) {
      for (const Rows& tile : rows_of(task, unit)) {
        if (!meets(task, round, unit, tile)) continue;
        take(terms[static_cast<size_t>(tile.tap)], nb, ahead, &call);
        call.a = base + unit * unit_floats_ + tile.channel;
        call.a_rows = tile.offsets.data();
        call.c = sums_of(task, block, unit, tile, sums);
        kernels_->at(kind_, tile.m, nb)(call);
      }
    }
  }
}

// The sum of dy, in float32 always.
void ConvGradStream::add_bias(const Task& task, const Chunk& chunk, const Gradient& dy, float* sums) const {
  std::vector<BrgemmEntry> images;
  for (int64_t image = 0; image < chunk.images; ++image) images.push_back({0, image * dy.image});
  BrgemmCall call{};
  call.entries = images.data();
  call.count = chunk.images;
  call.depth = chunk.rows * problem_.columns.outputs();
  call.a = kOnes;
  call.c_row = kBlock;
  call.accumulate = chunk.accumulate;
  for (int64_t block = 0; block < task.blocks; ++block) {
    call.b = dy.at + block * dy.block;
    call.c = sums + block * block_sum_floats() + bias_floats();
    brgemm_kernels().at(BrgemmRows::kColumns, 1, 1)(call);
  }
}

void ConvGradStream::run_task(const Task& task, Values x, Values dy, float* packed, float* sums,
                              bool* not_finite) const {
  const BrgemmScope scope(*kernels_);
  std::vector<KnownTerms> known(static_cast<size_t>(bands_));
  for (int64_t index = task.first_chunk; index < task.last_chunk; ++index) {
    Chunk chunk = chunk_of(task, index, x, dy);
    chunk.not_finite = index == task.last_chunk - 1 ? not_finite : nullptr;
    const Gradient gradient = gradient_of(task, chunk, packed + packed_floats_);
    const bool last = index + 1 == task.last_chunk;
    const Chunk next = chunk_of(task, last ? index : index + 1, x, dy);
    Ahead ahead = this->ahead(task, chunk, last ? nullptr : &next);
    const Gradient operand =
        joins_pairs() ? joined_gradient(task, chunk, packed + chunk_images_ * unit_floats_) : gradient;
    const std::vector<Terms>& terms = terms_of_taps(chunk, operand.image, &known[static_cast<size_t>(index % bands_)]);
    if (problem_.planes > 0 && !side_by_side_)
      add_pairs(task, chunk, packed, sums, terms, &ahead);
    else
      add_chunk(task, chunk, operand, packed, sums, terms, &ahead);
    if (task.bias) add_bias(task, chunk, gradient, sums);
  }
}

// What `sums` hold for one block of filters goes to dw and db.
void ConvGradStream::write_block(const Task& task, int64_t block, float* sums, float* dw, float* db) const {
  const WeightView& view = problem_.weight;
  if (turned_) turn(task, sums);
  const int64_t first = task.unit * lanes_, last = std::min(first + task.units * lanes_, view.depth);
  const auto taps = problem_.tap_offsets.begin() + task.tap;
  unpack_weight(sums, view, {taps, taps + task.taps}, sum_lanes_, first, last, block,
                dw + task.group * view.group_stride);
  if (!task.bias) return;
  std::copy_n(sums + bias_floats(), std::min<int64_t>(kBlock, view.lanes - block * kBlock),
              db + task.group * view.lanes + block * kBlock);
}

size_t ConvGradStream::workspace_bytes() const {
  const int64_t sums = parts_ > 1 ? splits() * parts_ : threads_;
  return static_cast<size_t>(sums * sum_floats() + threads_ * thread_floats()) * sizeof(float);
}

Status ConvGradStream::run(const RunContext& context, Values x, Values dy, float* dw, float* db,
                           std::byte* workspace) const {
  float* sums = reinterpret_cast<float*>(workspace);
  float* packed = sums + (parts_ > 1 ? splits() * parts_ : threads_) * sum_floats();
  context.pool.parallel_for(
      splits() * parts_,
      [&](int64_t index, int thread) {
        if (context.cancelled.load(std::memory_order_relaxed)) return;
        const Task t = task(index);
        float* own = sums + (parts_ > 1 ? index : thread) * sum_floats();
        bool not_finite = false;
        run_task(t, x, dy, packed + thread * thread_floats(), own, context.not_finite ? &not_finite : nullptr);
        if (not_finite) context.not_finite->store(true, std::memory_order_relaxed);
        for (int64_t block = 0; block < t.blocks && parts_ == 1; ++block)
          write_block(t, t.block + block, own + block * block_sum_floats(), dw, db);
      },
      nanoseconds_of_flops(problem_.flops));
  if (context.cancelled.load(std::memory_order_relaxed)) return {Code::kAborted, "cancelled"};
  if (parts_ == 1) return {};
  context.pool.parallel_for(
      splits() * block_task_,
      [&](int64_t index, int) {
        const int64_t split = index / block_task_, block = index % block_task_;
        const Task t = task(split);
        if (block >= t.blocks) return;
        float* total = sums + split * sum_floats() + block * block_sum_floats();
        for (int64_t part = 1; part < parts_; ++part) {
          const float* more = total + part * splits() * sum_floats();
          for (int64_t i = 0; i < block_sum_floats(); ++i) total[i] += more[i];
        }
        write_block(t, t.block + block, total, dw, db);
      },
      nanoseconds_of(static_cast<double>(splits() * parts_ * block_task_ * block_sum_floats())));
  return {};
}

std::vector<std::vector<double>> ConvGradStream::loops() const {
  std::vector<double> main, add;
  for (int64_t i = 0; i < splits() * parts_; ++i) {
    const Task t = task(i);
    const double part = static_cast<double>(t.last_chunk - t.first_chunk) / static_cast<double>(chunks_);
    main.push_back(task_cycles(t.units, t.blocks, t.taps, part));
    for (int64_t block = 0; block < block_task_ && i < splits() && parts_ > 1; ++block)
      add.push_back(static_cast<double>(block_sum_floats() * parts_) / 8);
  }
  return {main, add};
}

std::string ConvGradStream::describe() const {
  return std::string(kernels_->name) + " x" + std::to_string(step_ * kBlock) +
         (problem_.planes > 0 ? ", " + std::to_string(plane_products(problem_.planes).size()) + " products" : "") +
         (problem_.planar ? ", planar" : "") +
         (side_by_side_ ? ", taps side by side"
          : joins_taps_ ? ", taps joined"
                        : "") +
         (direct_    ? ", in place"
          : abreast_ ? ", images abreast"
                     : ", packed") +
         ", rows " + std::to_string(band_) + ", images " + std::to_string(chunk_images_) + ", channels " +
         std::to_string(unit_task_ * lanes_) + ", filters " + std::to_string(block_task_ * kBlock) + ", taps " +
         std::to_string(tap_task_) + ", parts " + std::to_string(parts_) + ", tasks " +
         std::to_string(splits() * parts_);
}

}  // namespace fovea
