// A ConvGradStream at work: task by task, chunk by chunk. How it is laid out: conv_grad_stream_plan.cc.
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

// Whether these rows have more than zeros in some of the blocks: the sums of the others are nobody's.
bool ConvGradStream::meets(const Task& task, int64_t block, int64_t blocks, int64_t unit, const Rows& rows) const {
  const WeightView& weight = problem_.weight;
  if (weight.parts == 1) return true;
  const int64_t lane = (task.block + block) * kBlock, channel = (task.unit + unit) * kBlock + rows.channel;
  const AxisSpan depths = weight.depths(lane, lane + blocks * kBlock);
  return channel < depths.end && channel + rows.m > depths.first;
}

float* ConvGradStream::sums_of(const Task& task, int64_t block, int64_t unit, const Rows& rows, float* sums) const {
  const int64_t row = (unit * task.taps - task.tap) * sum_lanes_ + rows.target;
  return sums + block * block_sum_floats() + row * kBlock;
}

ConvGradStream::Terms ConvGradStream::terms_of(const Chunk& chunk, const Window& window, int64_t dy_image) const {
  const int64_t columns = problem_.columns.outputs(), width = window.columns.end - window.columns.first;
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

// Of pairs a run ends with whole pairs, or tiles: what it then has too much of meets zeros of x or of dy.
ConvGradStream::Terms ConvGradStream::pair_terms_of(const Chunk& chunk, const Window& window) const {
  const AxisSpan rows = chunk.rows_of(window.rows);
  if (rows.first == rows.end || window.columns.first == window.columns.end) return terms_of_runs(chunk, {}, 0);
  const int64_t each = pair_rows() ? 1 : rows.end - rows.first;  // rows of one run
  const auto begin = [&](int64_t row) { return pairs_.begin(row * pitch_ + window.columns.first); };
  std::vector<Run> runs;
  for (int64_t row = rows.first; row < rows.end; row += each) runs.push_back({begin(row), begin(row)});
  const int64_t end = pairs_.end((rows.first + each - 1) * pitch_ + window.columns.end);
  return terms_of_runs(chunk, runs, (end - begin(rows.first)) / 2);
}

// Of images side by side, pixels that follow each other in dy and in x.
ConvGradStream::Terms ConvGradStream::image_terms_of(const Window& window) const {
  const GradProblem& p = problem_;
  const int64_t width = window.columns.end - window.columns.first, step = p.columns.step();
  const int64_t each = step == 1 ? width : 1;  // pixels of one run
  std::vector<Run> runs;
  for (int64_t row = window.rows.first; row < window.rows.end && each > 0; ++row) {
    for (int64_t column = window.columns.first; column < window.columns.end; column += each) {
      const int64_t x = window.offset + row * p.rows.step() * p.columns.source + column * step;
      runs.push_back({x * pairs_.images(), (row * p.columns.outputs() + column) * pairs_.images()});
    }
  }
  Chunk all{};
  all.images = 1;  // side by side
  return terms_of_runs(all, runs, each * pairs_.images() / 2);
}

ConvGradStream::Terms ConvGradStream::terms_of_runs(const Chunk& chunk, const std::vector<Run>& runs,
                                                    int64_t depth) const {
  if (tiled()) return tile_terms_of_runs(chunk, runs, depth);
  Terms terms{{}, depth, {}};
  for (int64_t image = 0; image < chunk.images; ++image) {
    for (const auto& [i, j] : plane_products(problem_.planes)) {
      for (const Run& run : runs) {
        terms.entries.push_back({image * unit_task_ * pairs_.x_words() + i * pairs_.x_plane() + pairs_.x_moved(run.x),
                                 image * pairs_.dy_words() + j * pairs_.dy_plane() + pairs_.dy_moved(run.dy)});
      }
    }
  }
  return terms;
}

// An entry for each step of a tile and product: one after another, since tiles then keep operands in registers. Pieces
// end at the same pixels of dy whatever the tap.
ConvGradStream::Terms ConvGradStream::tile_terms_of_runs(const Chunk& chunk, const std::vector<Run>& runs,
                                                         int64_t depth) const {
  constexpr int64_t kStep = kPairUnit / 2;
  Terms terms{{}, kStep, {}};
  const auto pass = [&](int64_t piece) {
    while (static_cast<int64_t>(terms.pieces.size()) <= piece)
      terms.pieces.push_back(static_cast<int64_t>(terms.entries.size()));
  };
  for (int64_t image = 0; image < chunk.images; ++image) {
    const int64_t x_image = image * unit_task_ * pairs_.x_words(), dy_image = image * pairs_.dy_words();
    for (const Run& run : runs) {
      for (int64_t q = 0; q < depth; q += kStep) {
        pass((image * pairs_.dy_positions() + run.dy + 2 * q) / kPiecePixels);
        for (const auto& [i, j] : plane_products(problem_.planes)) {
          const int64_t dy = dy_image + j * pairs_.dy_plane() + pairs_.dy_moved(run.dy + 2 * q);
          const int64_t x = x_image + i * pairs_.x_plane() + pairs_.x_moved(run.x + 2 * q);
          terms.entries.push_back(turned_ ? BrgemmEntry{dy, x} : BrgemmEntry{x, dy});
        }
      }
    }
  }
  pass(pieces_of(chunk));
  return terms;
}

const std::vector<ConvGradStream::Terms>& ConvGradStream::terms_of_taps(const Chunk& chunk, int64_t dy_image,
                                                                        KnownTerms* known) const {
  if (known->images == chunk.images && known->dy_image == dy_image) return known->taps;
  *known = {chunk.images, dy_image, {}};
  for (const Window& window : windows_) {
    known->taps.push_back(abreast_              ? image_terms_of(window)
                          : problem_.planes > 0 ? pair_terms_of(chunk, window)
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
  const double values = static_cast<double>(p.images * p.groups * blocks_ * plane());
  // What is small L3 has: planes, and whole images.
  if (side_by_side_ || (p.planar ? !outgrows_caches(values * 4) : direct_ && chunk_images_ > 1)) return ahead;
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
  for (int64_t block = 0; block < task.blocks; block += step_) {
    const int nb = static_cast<int>(std::min<int64_t>(step_, task.blocks - block));
    call.b = dy.at + block * dy.block;
    for (int64_t unit = 0; unit < task.units; ++unit) {
      for (const Rows& tile : rows_of(task, unit)) {
        if (!meets(task, block, nb, unit, tile)) continue;
        take(terms[static_cast<size_t>(tile.tap)], nb, ahead, &call);
        call.a = base + unit * unit_floats_ + tile.channel;
        call.a_rows = tile.offsets.data();
        call.c = sums_of(task, block, unit, tile, sums);
        kernels_->at(kind_, tile.m, nb)(call);
      }
    }
  }
}

// The same over pairs of pixels: [image][unit] of x, and [block][image] of the filters' gradients that the tiles of one
// round take, packed just before. One entry for each image and product of planes.
void ConvGradStream::add_pairs(const Task& task, const Chunk& chunk, float* packed, float* sums,
                               const std::vector<Terms>& terms, Ahead* ahead) const {
  float* const dy = packed + packed_images() * unit_task_ * pairs_.x_words();
  float* const scratch = dy + step_ * packed_images() * pairs_.dy_words();
  pack_pairs_of_x(task, chunk, packed, scratch);
  for (int64_t first = 0; first < task.blocks; first += step_) {
    const int64_t nb = std::min<int64_t>(step_, task.blocks - first);
    pack_pairs_of_dy(chunk, first, nb, dy, scratch);
    const int64_t block_dy = packed_images() * pairs_.dy_words();
    const Blocks round{first, nb, dy, block_dy};
    if (turned_)
      multiply_turned(task, chunk, round, packed, sums, terms, ahead);
    else if (tiled())
      multiply_tap(task, chunk, round, packed, sums, terms[0], ahead);
    else
      multiply_pairs(task, chunk, round, packed, sums, terms, ahead);
  }
}

void ConvGradStream::pack_pairs_of_x(const Task& task, const Chunk& chunk, float* packed, float* scratch) const {
  const int64_t image_floats = problem_.groups * units_ * source_unit_floats_;
  for (int64_t unit = 0; unit < task.units; ++unit) {
    const Values x = chunk.x + unit * source_unit_floats_;
    float* const to = packed + unit * pairs_.x_words();
    if (abreast_) pairs_.pack_x_of_images(x, image_floats, chunk.images, scratch, to);
    for (int64_t image = 0; image < chunk.images && !abreast_; ++image) {
      pairs_.pack_x(pack_, x + image * image_floats, chunk.first_row, chunk.rows, scratch,
                    to + image * unit_task_ * pairs_.x_words());
    }
  }
}

// [block][image]
void ConvGradStream::pack_pairs_of_dy(const Chunk& chunk, int64_t first, int64_t count, float* dy,
                                      float* scratch) const {
  const int64_t image_values = problem_.groups * blocks_ * plane();
  for (int64_t block = 0; block < count; ++block) {
    const Values from = chunk.dy + (first + block) * plane();
    float* const to = dy + block * packed_images() * pairs_.dy_words();
    if (abreast_) pairs_.pack_dy_of_images(from, image_values, chunk.images, scratch, to);
    for (int64_t image = 0; image < chunk.images && !abreast_; ++image)
      pairs_.pack_dy(from + image * image_values, chunk.rows, scratch, to + image * pairs_.dy_words());
  }
}

// Rows of channels times pairs of filters.
void ConvGradStream::multiply_pairs(const Task& task, const Chunk& chunk, const Blocks& round, const float* x,
                                    float* sums, const std::vector<Terms>& terms, Ahead* ahead) const {
  BrgemmCall call{};
  call.a_step = pairs_.row();
  call.b = round.dy;
  call.b_block = round.dy_block;
  call.c_row = kBlock;
  call.c_block = block_sum_floats();
  call.accumulate = chunk.accumulate;
  call.not_finite = chunk.not_finite;
  for (int64_t unit = 0; unit < task.units; ++unit) {
    for (const Rows& tile : rows_of(task, unit)) {
      if (!meets(task, round.first, round.count, unit, tile)) continue;
      take(terms[static_cast<size_t>(tile.tap)], round.count, ahead, &call);
      call.a = pairs_.x_at(x + unit * pairs_.x_words(), tile.channel, windows_[static_cast<size_t>(tile.tap)].offset);
      call.c = sums_of(task, round.first, unit, tile, sums);
      kernels_->at(kind_, tile.m, static_cast<int>(round.count))(call);
    }
  }
}

// Rows of one or two blocks of filters times pairs of channels: squares of sums, see turn().
void ConvGradStream::multiply_turned(const Task& task, const Chunk& chunk, const Blocks& round, const float* x,
                                     float* sums, const std::vector<Terms>& terms, Ahead* ahead) const {
  const bool two = round.count == 2;
  const int64_t most = two ? 2 : kernels_->blocks;  // units of a tile
  BrgemmCall call{};
  call.a = round.dy;
  call.a_step = pairs_.row();
  call.a_second = round.dy_block;
  call.b_block = pairs_.x_words();
  call.c_row = kBlock;
  call.c_block = task.taps * sum_lanes_ * kBlock;
  call.c_second = block_sum_floats();
  call.c_first = problem_.planes == 1;
  const int64_t pieces = pieces_of(chunk);
  for (int64_t unit = 0; unit < task.units; unit += most) {
    const int64_t units = std::min(most, task.units - unit);
    for (int64_t piece = 0; piece < pieces; ++piece) {
      call.accumulate = chunk.accumulate || piece > 0;
      call.not_finite = piece == pieces - 1 ? chunk.not_finite : nullptr;
      for (int64_t tap = task.tap; tap < task.tap + task.taps; ++tap) {
        const Rows rows{tap, 0, tap * sum_lanes_, static_cast<int>(units * kBlock), {}};
        if (!meets(task, round.first, round.count, unit, rows)) continue;
        const Terms& all = terms[static_cast<size_t>(tap)];
        const int64_t* const begin = all.pieces.data() + piece;
        take(all, begin[0], begin[1], units, ahead, &call);
        const int64_t offset = abreast_ ? 0 : windows_[static_cast<size_t>(tap)].offset;  // else of each run
        call.b = pairs_.x_at(x + unit * pairs_.x_words(), 0, offset);
        call.c = sums_of(task, round.first, unit, rows, sums);
        kernels_->at(two ? BrgemmRows::kTwoRuns : BrgemmRows::kRows, kBlock, static_cast<int>(units))(call);
      }
    }
  }
}

// Of one tap, rows of one or two units of channels times pairs of filters.
void ConvGradStream::multiply_tap(const Task& task, const Chunk& chunk, const Blocks& round, const float* x,
                                  float* sums, const Terms& terms, Ahead* ahead) const {
  BrgemmCall call{};
  call.a_step = pairs_.row();
  call.a_second = pairs_.x_words();
  call.b = round.dy;
  call.b_block = round.dy_block;
  call.c_row = kBlock;
  call.c_block = block_sum_floats();
  call.c_second = sum_lanes_ * kBlock;
  call.c_first = problem_.planes == 1;
  const int64_t pieces = pieces_of(chunk);
  for (int64_t piece = 0; piece < pieces; ++piece) {
    call.accumulate = chunk.accumulate || piece > 0;
    call.not_finite = piece == pieces - 1 ? chunk.not_finite : nullptr;
    for (int64_t unit = 0; unit < task.units; unit += 2) {
      const Rows rows{0, 0, 0, 2 * kBlock, {}};
      if (!meets(task, round.first, round.count, unit, rows)) continue;
      take(terms, terms.pieces[static_cast<size_t>(piece)], terms.pieces[static_cast<size_t>(piece) + 1], round.count,
           ahead, &call);
      call.a = pairs_.x_at(x + unit * pairs_.x_words(), 0, windows_[0].offset);
      call.c = sums_of(task, round.first, unit, rows, sums);
      const BrgemmRows kind = unit + 1 < task.units ? BrgemmRows::kTwoRuns : BrgemmRows::kRows;
      kernels_->at(kind, kBlock, static_cast<int>(round.count))(call);
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
    const std::vector<Terms>& terms = terms_of_taps(chunk, gradient.image, &known[static_cast<size_t>(index % bands_)]);
    if (problem_.planes > 0)
      add_pairs(task, chunk, packed, sums, terms, &ahead);
    else
      add_chunk(task, chunk, gradient, packed, sums, terms, &ahead);
    if (task.bias) add_bias(task, chunk, gradient, sums);
  }
}

// Squares of [filter][channel] to [channel][filter].
void ConvGradStream::turn(const Task& task, float* sums) const {
  alignas(64) float square[kBlock * kBlock];
  for (int64_t i = 0; i < task.units * task.taps; ++i, sums += kBlock * kBlock) {
    layout_kernels().to_blocked(sums, kBlock, kBlock, kBlock, square);
    std::copy_n(square, kBlock * kBlock, sums);
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
