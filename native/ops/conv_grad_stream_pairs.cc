// What a ConvGradStream multiplies in bfloat16: runs of pairs, of pixels or of images, by vectors and by tiles of AMX.
#include <algorithm>

#include "kernels/bf16/bf16.h"
#include "kernels/layout/layout.h"
#include "ops/bf16_products.h"
#include "ops/conv_grad_stream.h"
#include "ops/parallel.h"

namespace fovea {

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

// The same over pairs of pixels: [image][unit] of x, and [block][image] of the filters' gradients that the tiles of one
// round take, packed just before.
void ConvGradStream::add_pairs(const Task& task, const Chunk& chunk, float* packed, float* sums,
                               const std::vector<Terms>& terms, Ahead* ahead) const {
  const int64_t block_dy = packed_images() * pairs_.dy_words();
  float* const dy = packed + packed_images() * unit_task_ * pairs_.x_words();
  float* const scratch = dy + step_ * block_dy;
  pack_pairs_of_x(task, chunk, packed, scratch);
  const Pairs pairs{packed, dy, block_dy};
  for (const LaneRound& round : rounds_.of(task.block, task.blocks)) {
    pack_pairs_of_dy(chunk, round.block - task.block, round.blocks, dy, scratch);
    if (turned_)
      multiply_turned(task, chunk, round, pairs, sums, terms, ahead);
    else if (tiled())
      multiply_tap(task, chunk, round, pairs, sums, terms[0], ahead);
    else
      multiply_pairs(task, chunk, round, pairs, sums, terms, ahead);
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

// Those that meet taps that are joined (conv_joined.h).
ConvGradStream::Gradient ConvGradStream::joined_gradient(const Task& task, const Chunk& chunk, float* words) const {
  const int64_t image_step = problem_.groups * blocks_ * plane(), pairs = chunk.rows * steps_of_row();
  for (int64_t i = 0; i < task.blocks * chunk.images; ++i) {
    const int64_t block = i / chunk.images, image = i % chunk.images;
    const Values from = chunk.dy + image * image_step + block * plane();
    float* const to = words + (block * chunk_images_ + image) * joined_dy_words();
    if (from.half())
      bf16_kernels()->stored_rows(from.halves(), pairs, to);
    else
      bf16_kernels()->rows(from.floats(), pairs, problem_.planes, to, 0);
  }
  return {words, joined_dy_words(), chunk_images_ * joined_dy_words()};
}

// Rows of channels times pairs of filters.
void ConvGradStream::multiply_pairs(const Task& task, const Chunk& chunk, const LaneRound& round, const Pairs& pairs,
                                    float* sums, const std::vector<Terms>& terms, Ahead* ahead) const {
  BrgemmCall call{};
  call.a_step = pairs_.row();
  call.b = pairs.dy;
  call.b_block = pairs.dy_block;
  call.c_row = kBlock;
  call.c_block = block_sum_floats();
  call.accumulate = chunk.accumulate;
  call.not_finite = chunk.not_finite;
  for (int64_t unit = 0; unit < task.units; ++unit) {
    for (const Rows& tile : rows_of(task, unit)) {
      if (!meets(task, round, unit, tile)) continue;
      take(terms[static_cast<size_t>(tile.tap)], round.blocks, ahead, &call);
      call.a =
          pairs_.x_at(pairs.x + unit * pairs_.x_words(), tile.channel, windows_[static_cast<size_t>(tile.tap)].offset);
      call.c = sums_of(task, round.block - task.block, unit, tile, sums);
      kernels_->at(kind_, tile.m, static_cast<int>(round.blocks))(call);
    }
  }
}

// Rows of one or two blocks of filters times pairs of channels: squares of sums, see turn().
void ConvGradStream::multiply_turned(const Task& task, const Chunk& chunk, const LaneRound& round, const Pairs& pairs,
                                     float* sums, const std::vector<Terms>& terms, Ahead* ahead) const {
  const bool two = round.blocks == 2;
  const int64_t most = two ? 2 : kernels_->blocks;  // units of a tile
  BrgemmCall call{};
  call.a = pairs.dy;
  call.a_step = pairs_.row();
  call.a_second = pairs.dy_block;
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
        if (!meets(task, round, unit, rows)) continue;
        const Terms& all = terms[static_cast<size_t>(tap)];
        const int64_t* const begin = all.pieces.data() + piece;
        take(all, begin[0], begin[1], units, ahead, &call);
        const int64_t offset = abreast_ ? 0 : windows_[static_cast<size_t>(tap)].offset;  // else of each run
        call.b = pairs_.x_at(pairs.x + unit * pairs_.x_words(), 0, offset);
        call.c = sums_of(task, round.block - task.block, unit, rows, sums);
        kernels_->at(two ? BrgemmRows::kTwoRuns : BrgemmRows::kRows, kBlock, static_cast<int>(units))(call);
      }
    }
  }
}

// Of one tap, rows of one or two units of channels times pairs of filters.
void ConvGradStream::multiply_tap(const Task& task, const Chunk& chunk, const LaneRound& round, const Pairs& pairs,
                                  float* sums, const Terms& terms, Ahead* ahead) const {
  BrgemmCall call{};
  call.a_step = pairs_.row();
  call.a_second = pairs_.x_words();
  call.b = pairs.dy;
  call.b_block = pairs.dy_block;
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
      if (!meets(task, round, unit, rows)) continue;
      take(terms, terms.pieces[static_cast<size_t>(piece)], terms.pieces[static_cast<size_t>(piece) + 1], round.blocks,
           ahead, &call);
      call.a = pairs_.x_at(pairs.x + unit * pairs_.x_words(), 0, windows_[0].offset);
      call.c = sums_of(task, round.block - task.block, unit, rows, sums);
      const BrgemmRows kind = unit + 1 < task.units ? BrgemmRows::kTwoRuns : BrgemmRows::kRows;
      kernels_->at(kind, kBlock, static_cast<int>(round.blocks))(call);
    }
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

}  // namespace fovea
