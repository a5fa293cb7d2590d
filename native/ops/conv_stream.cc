// A ConvStream at work: panels of weights, then task by task. How it is laid out: conv_stream_plan.cc,
// conv_stream_tiles.cc.
#include "ops/conv_stream.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "kernels/layout/layout.h"
#include "ops/conv_epilogue.h"
#include "ops/parallel.h"
#include "simd/macros.h"

namespace fovea {

namespace {

constexpr int64_t kPackBlocks = 1;  // of 16 filters, whose weights one task packs

const std::byte* written(const BrgemmCall& call) {
  return call.rounded ? reinterpret_cast<const std::byte*>(call.rounded) : reinterpret_cast<const std::byte*>(call.c);
}

}  // namespace

void ConvStream::run_phase(const Pass& pass, const Phase& phase) const {
  const std::vector<Piece>& pieces = pieces_of(phase, pass.chunk);
  const int64_t taps = static_cast<int64_t>(phase.taps.size());
  BrgemmCall call{};
  call.b = pass.panels.at + phase.panel + (pass.round.block - pass.panels.first) * phase.block_floats +
           pass.chunk * chunk_ * panel_floats(taps);
  call.b_block = phase.block_floats;
  call.c_block = pass.target.sums.block;
  call.rounded_block = pass.target.rounded.block;
  call.past_caches = past_caches_;
  call.a_goes_on = !direct_;  // see beyond_floats_
  call.c_first = problem_.planes == 1;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const bool first = pass.chunk == 0 && i == 0, last = pass.chunk == chunks_ - 1 && i + 1 == pieces.size();
    run_piece(pass, phase, pieces[i], first, last, &call);
  }
}

// Adds up one piece of each sum: starts with the first, and with the last does all that comes after.
void ConvStream::run_piece(const Pass& pass, const Phase& phase, const Piece& piece, bool first, bool last,
                           BrgemmCall* call) const {
  const Operands& operands = pass.operands;
  const float* const bias = last ? operands.bias : nullptr;
  call->depth = piece.depth;
  call->blocks_begun = static_cast<int>(first ? pass.round.begun : 0);
  call->accumulate = !first || pass.round.begun > 0;
  call->bias = bias ? bias + pass.task.group * bias_floats() + pass.round.before * kBlock : nullptr;
  call->relu = last && (problem_.relu || operands.added.relu);
  call->not_finite = last ? pass.not_finite : nullptr;
  const int64_t together = images_abreast(pass.task.images);
  for (int64_t image = 0; image < pass.task.images; image += together) {
    const int64_t rows = std::min(together, pass.task.images - image);
    run_tiles(pass, phase, piece, {image, static_cast<int>(rows), last}, call);
  }
}

void ConvStream::run_tiles(const Pass& pass, const Phase& phase, const Piece& piece, const Images& images,
                           BrgemmCall* call) const {
  const Target& target = pass.target;
  const Operands& operands = pass.operands;
  const float* const a = pass.base + images.first * pass.image_stride;
  float* const c = target.sums.at + images.first * target.sums.image;
  const bool rounds = images.last_piece && tiles_round_, adds = images.last_piece && operands.added.at;
  Bfloat16* const rounded = rounds ? target.rounded.at + images.first * target.rounded.image : nullptr;
  int known = -1;  // the cover whose entries the call has: mostly all tiles are of one
  for (const Tile& tile : tiles_of(pass.task, phase)) {
    if (tile.cover != known) {
      const Cover& cover = phase.covers[static_cast<size_t>(tile.cover)];
      const Steps& steps = cover.steps[rounds_differ() ? rounds_.index(pass.round) : 0];
      const int64_t* const before = steps.before.data() + piece.first;
      call->entries = steps.entries.data() + before[0];
      call->count = before[piece.count] - before[0];
      known = tile.cover;
    }
    call->a = a + tile.a;
    call->a_step = tile.a_step;
    call->a_second = tile.a_second;
    call->c = c + tile.c;
    call->c_second = tile.c_second;
    call->c_row = abreast_ ? target.sums.image : tile.c_row;
    call->rounded = rounded ? rounded + tile.c : nullptr;
    call->rounded_row = abreast_ ? target.rounded.image : tile.c_row;
    if (adds) call->add = operands.added.at + (written(*call) - operands.dest.at());
    pass.asked->fetch();
    if (pass.read) call->ahead = pass.read->part();
    call->pixels = tile.m;
    const BrgemmTile run =
        tile.strip > 0 ? kernels_->strip(tile.kind, tile.strip)
                       : kernels_->at(tile.kind, abreast_ ? images.count : tile.m, static_cast<int>(pass.round.blocks));
    run(*call);
  }
}

// What pack_band will read.
Ahead ConvStream::ahead(Values source, const Task& task, int64_t chunk) const {
  const StreamProblem& p = problem_;
  // A filter of one tap along an axis leaves out what lies between its steps.
  const int64_t row_step = p.rows.classes.size() == 1 ? p.rows.step() : 1;
  const int64_t column_step = p.columns.classes.size() == 1 && !p.planar ? p.columns.step() : 1;
  const AxisSpan span = span_read(p.rows, task.row, task.rows);
  const int64_t image_values = p.groups * source_blocks_ * source_block_values_;
  const int64_t row_values = p.columns.source * source_lanes_;
  const int64_t unit_blocks = unit_depth_ / source_lanes_, first = chunk * chunk_ * unit_blocks;
  const int64_t last = std::min(first + chunk_ * unit_blocks, source_blocks_);
  Ahead ahead(std::max<int64_t>(64, column_step * kBlock * source.bytes()));
  for (int64_t image = task.image; image < task.image + task.images; ++image) {
    for (int64_t block = first; block < last; ++block) {
      const Values plane = source + image * image_values + (task.group * source_blocks_ + block) * source_block_values_;
      const int64_t rows = row_step == 1 ? span.end - span.first : 1;
      for (int64_t row = span.first; row < span.end; row += std::max(row_step, rows))
        ahead.add(plane + row * row_values, plane + (row + rows) * row_values);
    }
  }
  return ahead;
}

// Rows between those of the phases, which no tile writes, go with the rows before them.
ConvStream::Lines ConvStream::lines_of(const Task& task) const {
  const int64_t step = problem_.rows.phases.front().step, first = task.row * step;
  return {first, (task.last_band ? problem_.dest_h : first + task.rows * step) - first};
}

// Scratch keeps the sums of all rounds while there are more of their channels to come, else those of one.
ConvStream::Target ConvStream::target_of(const Task& task, const LaneRound& round, MutableValues dest,
                                         float* scratch) const {
  const StreamProblem& p = problem_;
  const int64_t row = p.dest_w * kBlock, plane = p.dest_h * row, image = p.groups * dest_blocks_ * plane;
  const Lines lines = lines_of(task);
  const int64_t first = task.image * image + (task.group * dest_blocks_ + round.block) * plane + lines.first * row;
  if (!dest.half()) return {{dest.floats() + first, plane, image}, {}};
  const int64_t before = keeps_sums() ? round.block - task.block : 0, block = lines.count * row;
  const int64_t blocks = keeps_sums() ? task.blocks : round.blocks;
  return {{scratch + before * block, block, blocks * block}, {dest.halves() + first, plane, image}};
}

void ConvStream::round_off(const Task& task, const LaneRound& round, const Target& target) const {
  const int64_t values = lines_of(task).count * problem_.dest_w * kBlock;
  const Place<float>& sums = target.sums;
  const Place<Bfloat16>& rounded = target.rounded;
  for (int64_t image = 0; image < task.images; ++image) {
    for (int64_t block = 0; block < round.finished; ++block) {
      layout_bf16_kernels()->round(sums.at + image * sums.image + block * sums.block, values,
                                   rounded.at + image * rounded.image + block * rounded.block);
    }
  }
}

// Round by round of the blocks that tiles take at once; what an epilogue does with them comes while they are in L2.
void ConvStream::run_task(int64_t index, const std::vector<Phase>& phases, const Operands& operands,
                          const Panels& panels, float* scratch, bool* not_finite) const {
  const BrgemmScope scope(*kernels_);
  const Task task = this->task(index);
  const int64_t image_values = problem_.groups * source_blocks_ * source_block_values_;
  const Values images =
      operands.source + task.image * image_values + task.group * source_blocks_ * source_block_values_;
  const Values band = images + task.row * problem_.rows.step() * problem_.columns.source * source_lanes_;
  const int64_t stride = direct_    ? image_values / source_lanes_ * lanes_
                         : abreast_ ? lanes_
                                    : chunk_ * planes_ * unit_floats_;
  for (int64_t chunk = 0; chunk < chunks_; ++chunk) {
    if (!direct_) pack_band(images, task, chunk, scratch);
    const float* const base =
        direct_ ? reinterpret_cast<const float*>(band.at()) + chunk * chunk_ * planes_ * unit_floats_ : scratch;
    Ahead asked;  // the source of the next chunk or task
    if (asks_ahead_ && chunk + 1 < chunks_)
      asked = ahead(operands.source, task, chunk + 1);
    else if (asks_ahead_ && index + 1 < tasks())
      asked = ahead(operands.source, this->task(index + 1), 0);
    size_t calls = 0;
    for (const Phase& phase : phases) calls += tiles_of(task, phase).size() * pieces_of(phase, chunk).size();
    const int64_t passes = ceil_div(task.images, images_abreast(task.images));
    const int64_t round_calls = std::max<int64_t>(1, passes * static_cast<int64_t>(calls));
    const LaneRounds::Range rounds = rounds_.of(task.block, task.blocks);
    asked.share(rounds.size() * round_calls);
    for (const LaneRound& round : rounds) {
      const Target target = target_of(task, round, operands.dest, scratch + scratch_floats_);
      if (holes_ && chunk == 0)
        tiles_round_ ? clear_round(task, round, target.rounded) : clear_round(task, round, target.sums);
      const bool reads = chunk == chunks_ - 1 && operands.epilogue && operands.epilogue->read();
      Ahead read = reads ? read_by_epilogue(task, round, *operands.epilogue) : Ahead();
      read.share(round_calls);
      const Pass pass{task,      round, chunk, base, stride, operands, panels, target, &asked, reads ? &read : nullptr,
                      not_finite};
      for (const Phase& phase : phases) run_phase(pass, phase);
      if (chunk < chunks_ - 1) continue;
      if (operands.dest.half() && !tiles_round_) round_off(task, round, target);
      if (!operands.epilogue) continue;
      const bool adds = !operands.added.at;
      for_parts(task, round, [&](const ConvPart& part) { operands.epilogue->finish(part, adds); });
    }
  }
  if (past_caches_) stores_are_seen();
}

// [image][unit of the chunk][plane]: what the task reads of each.
void ConvStream::pack_band(Values images, const Task& task, int64_t chunk, float* scratch) const {
  const int64_t image_values = problem_.groups * source_blocks_ * source_block_values_;
  const int64_t first = chunk * chunk_, units = std::min(chunk_, units_ - first);
  const int64_t unit_blocks = unit_depth_ / source_lanes_;
  const int64_t pixels = source_block_values_ / source_lanes_;
  for (int64_t image = 0; image < (abreast_ ? 1 : task.images); ++image) {
    for (int64_t unit = 0; unit < units; ++unit) {
      const int64_t block = (first + unit) * unit_blocks;
      const Values source = images + image * image_values + block * source_block_values_;
      const Values second = block + 1 < source_blocks_ ? source + source_block_values_ : Values();
      float* target = scratch + (image * chunk_ + unit) * planes_ * unit_floats_;
      if (abreast_ && problem_.planes == 0)
        pack_images(source, image_values, task.images, pixels, group_images_, target);
      else if (abreast_)
        pack_images_as_pairs(source, second, image_values, task.images, pixels, group_images_, problem_.planes, target,
                             unit_floats_);
      else if (problem_.planes == 0)
        band_pack_.pack(source, task.row, task.rows, target);
      else
        band_pack_.pack_pairs(source, second, task.row, task.rows, problem_.planes, target);
    }
  }
}

template <class T>
void ConvStream::clear_round(const Task& task, const LaneRound& round, const Place<T>& place) const {
  const int64_t values = lines_of(task).count * problem_.dest_w * kBlock;
  for (int64_t image = 0; image < task.images; ++image) {
    for (int64_t block = round.begun; block < round.blocks; ++block)
      std::fill_n(place.at + image * place.image + block * place.block, values, T{});
  }
}

// Where the blocks of the round lie that finish() will read.
Ahead ConvStream::read_by_epilogue(const Task& task, const LaneRound& round, const ConvEpilogue& epilogue) const {
  Ahead ahead;
  const Values values(epilogue.read(), problem_.dest_type);
  const int64_t row = problem_.dest_w * kBlock, plane = problem_.dest_h * row;
  const Lines lines = lines_of(task);
  for (int64_t image = task.image; image < task.image + task.images; ++image) {
    const int64_t first = (image * problem_.groups + task.group) * dest_blocks_ + round.block;
    for (int64_t block = first; block < first + round.finished; ++block) {
      const Values begin = values + block * plane + lines.first * row;
      ahead.add(begin, begin + lines.count * row);
    }
  }
  return ahead;
}

template <class Visit>
void ConvStream::for_parts(const Task& task, const LaneRound& round, const Visit& visit) const {
  const Lines lines = lines_of(task);
  const int64_t slot = task.image / group_images_ * bands_ + task.row / band_;
  for (int64_t block = round.block; block < round.block + round.finished; ++block) {
    for (int64_t image = task.image; image < task.image + task.images; ++image)
      visit(ConvPart{slot, image, task.group * dest_blocks_ + block, lines.first, lines.count, 0, problem_.dest_w});
  }
}

size_t ConvStream::workspace_bytes() const {
  const int64_t floats = (problem_.keeps ? 0 : prepared_floats()) + threads_ * thread_floats();
  return static_cast<size_t>(floats) * sizeof(float);
}

void ConvStream::prepare(const RunContext& context, const float* weight, const float* bias,
                         const Prepared& prepared) const {
  const StreamProblem& p = problem_;
  for (int64_t group = 0; group < p.groups && bias; ++group) {
    for (const LaneRound& round : rounds_.all()) {
      float* const to = prepared.bias + group * bias_floats() + round.before * kBlock;
      const int64_t before = round.lanes.first - round.block * kBlock, count = round.lanes.end - round.lanes.first;
      std::fill_n(to, round.blocks * kBlock, 0.0f);
      std::copy_n(bias + group * p.weight.lanes + round.lanes.first, count, to + before);
    }
  }
  *prepared.harmless = packs_own_ || pack_all(context, weight, prepared.panels) ? 1 : 0;
}

Status ConvStream::run(const RunContext& context, Values source, const float* weight, const float* bias,
                       MutableValues dest, std::byte* workspace) const {
  const StreamProblem& p = problem_;
  const WeightMemory memory = weight_memory(context, workspace, p.keeps, prepared_floats());
  const Prepared prepared = this->prepared(memory.made);
  float* const scratch = memory.rest;
  if (image_groups_ == 0) {  // no task writes anything
    const int64_t plane = p.dest_h * p.dest_w * kBlock;
    context.pool.parallel_for(
        p.images * p.groups * dest_blocks_,
        [&](int64_t index, int) {
          std::memset((dest + index * plane).at(), 0, static_cast<size_t>(plane * dest.bytes()));
        },
        nanoseconds_of(static_cast<double>(p.images * p.groups * dest_blocks_ * plane)));
  }
  if (!context.holds) prepare(context, weight, bias, prepared);
  Operands operands{source, weight, bias ? prepared.bias : nullptr, dest, context.epilogue, {}};
  if (context.epilogue && tiles_add()) operands.added = context.epilogue->added();
  const bool padding_is_harmless = *prepared.harmless != 0;
  const std::vector<Phase> exact = padding_is_harmless ? std::vector<Phase>() : without_padding();
  context.pool.parallel_for(
      tasks(),
      [&](int64_t index, int thread) {
        if (context.cancelled.load(std::memory_order_relaxed)) return;
        bool not_finite = false;
        run_with_panels(index, padding_is_harmless ? phases_ : exact, operands, prepared.panels,
                        scratch + thread * thread_floats(), context.not_finite ? &not_finite : nullptr);
        if (not_finite) context.not_finite->store(true, std::memory_order_relaxed);
      },
      nanoseconds_of_flops(p.flops) +
          (packs_own_ ? nanoseconds_of(static_cast<double>(tasks() * group_panel_floats_)) : 0));
  return context.cancelled.load(std::memory_order_relaxed) ? Status(Code::kAborted, "cancelled") : Status();
}

// `panels`: of all filters, unless the task packs its own.
void ConvStream::run_with_panels(int64_t index, const std::vector<Phase>& phases, const Operands& operands,
                                 float* panels, float* scratch, bool* not_finite) const {
  const Task task = this->task(index);
  if (!packs_own_)
    return run_task(index, phases, operands, {panels + task.group * group_panel_floats_, 0}, scratch, not_finite);
  const Panels own{scratch + scratch_floats_ + sum_floats_, task.block};
  if (pack_blocks(operands.weight, task.group, task.block, task.block + task.blocks, own))
    run_task(index, phases, operands, own, scratch, not_finite);
  else
    run_task(index, without_padding(), operands, own, scratch, not_finite);
}

// An infinite weight times the zeros of the padding would be NaN.
std::vector<ConvStream::Phase> ConvStream::without_padding() const {
  std::vector<Phase> phases = phases_;
  for (Phase& phase : phases) {
    phase.covers.clear();
    for (const AxisRun& rows : runs_inside(problem_.rows, phase.row)) {
      for (const AxisRun& columns : runs_inside(problem_.columns, phase.column))
        phase.covers.push_back(make_cover(phase, rows, columns));
    }
    make_tiles(&phase);
  }
  return phases;
}

bool ConvStream::pack_blocks(const float* weight, int64_t group, int64_t first, int64_t last,
                             const Panels& panels) const {
  const StreamProblem& p = problem_;
  const float* const from = weight + group * p.weight.group_stride;
  bool finite = true;
  for (const Phase& phase : phases_) {
    float* const to = panels.at + phase.panel + (first - panels.first) * phase.block_floats;
    if (p.planes > 0) {
      pack_weight_pairs(from, p.weight, phase.taps, p.planes, first, last, to);
      continue;
    }
    pack_weight(from, p.weight, phase.taps, lanes_, first, last, to);
    if (pads_ && !all_finite(to, (last - first) * phase.block_floats)) finite = false;
  }
  return finite;
}

bool ConvStream::pack_all(const RunContext& context, const float* weight, float* panels) const {
  const int64_t groups = problem_.groups, pack_tasks = ceil_div(dest_blocks_, kPackBlocks);
  std::atomic<bool> finite{true};
  const auto pack = [&](int64_t index, int) {
    const int64_t group = index / pack_tasks, first = index % pack_tasks * kPackBlocks;
    const int64_t last = std::min(dest_blocks_, first + kPackBlocks);
    if (!pack_blocks(weight, group, first, last, {panels + group * group_panel_floats_, 0}))
      finite.store(false, std::memory_order_relaxed);
  };
  context.pool.parallel_for(groups * pack_tasks, pack,
                            nanoseconds_of(static_cast<double>(groups * group_panel_floats_)));
  return finite.load(std::memory_order_relaxed);
}

std::vector<std::vector<double>> ConvStream::loops() const {
  const StreamProblem& p = problem_;
  if (image_groups_ == 0) return {};
  const double pack = static_cast<double>(group_panel_floats_) / static_cast<double>(panel_blocks_) / 2;  // of a block
  std::vector<double> main;
  for (int64_t i = 0; i < tasks(); ++i) {
    const Task t = task(i);
    main.push_back(task_cycles(t.images, t.rows, t.blocks) + (packs_own_ ? pack * static_cast<double>(t.blocks) : 0));
  }
  if (packs_own_) return {main};
  const int64_t packed = p.groups * ceil_div(dest_blocks_, kPackBlocks);
  return {std::vector<double>(static_cast<size_t>(packed), pack * kPackBlocks), main};
}

std::string ConvStream::describe() const {
  return std::string(kernels_->name) + " x" + std::to_string(step_ * kBlock) +
         (problem_.planes > 0 ? ", " + std::to_string(products_.size()) + " products" : "") +
         (problem_.planar ? ", planar" : "") +
         (direct_    ? ", in place"
          : abreast_ ? ", images abreast"
                     : ", packed") +
         (skips_ ? ", no padding" : "") + (comes_in_strips() ? ", strips" : "") + ", rows " + std::to_string(band_) +
         ", images " + std::to_string(group_images_) + ", channels " + std::to_string(chunk_ * unit_depth_) +
         ", tasks " + std::to_string(tasks());
}

}  // namespace fovea
