#include "ops/conv_stages.h"

#include <algorithm>
#include <cstring>

#include "ops/bf16_products.h"
#include "ops/conv_merged.h"
#include "ops/conv_stem.h"
#include "ops/tile_choice.h"
#include "runtime/thread_pool.h"

namespace fovea {

bool bf16_possible(const OpSpec& spec, const ConvGeometry& g) {
  return direct_possible(spec, g) && (spec.inputs[0].layout == Layout::kBlocked || supports_stem(g)) &&
         brgemm_bf16_kernels() != nullptr;
}

bool bf16_wins(const OpSpec& spec, const ConvGeometry& g) {
  return bf16_possible(spec, g) && bf16_pays(spec.precision);
}

bool merged_possible(const OpSpec& spec, const ConvGeometry& g) {
  return spec.inputs[0].layout == Layout::kBlocked && merged_groups(g) > 0;
}

bool bf16_merged_possible(const OpSpec& spec, const ConvGeometry& g) {
  return merged_possible(spec, g) && brgemm_bf16_kernels() != nullptr;
}

// Of two groups of 24 a quarter of the products is with zeros, of wider ones less, and nothing moves: ten of them at
// 14x14 take 0.74 to 0.94 of the time, with a stride 0.5 to 0.72 (Zen 4). What fills blocks in fours has no such lead.
bool merged_wins(const OpSpec& spec, const ConvGeometry& g) {
  return merged_possible(spec, g) && merged_groups(g) == 2 && !g.narrow_groups();
}

bool bf16_merged_wins(const OpSpec& spec, const ConvGeometry& g) {
  return merged_wins(spec, g) && bf16_merged_possible(spec, g) && bf16_planes(spec.precision) == 1;
}

bool short_rows(const BrgemmKernels& kernels, int64_t rows, int64_t columns, int64_t blocks, int64_t taps,
                int64_t taps_w) {
  if (taps_w == 1) return false;
  const double pixels = static_cast<double>(rows * columns);
  const double by_row =
      static_cast<double>(rows) * choose_tiles(kernels, columns, blocks, taps * kBlock, 0, rows > 1).cycles;
  const double copies = 4 * static_cast<double>(taps_w - 1) * pixels;  // cycles to pack them, and to fetch them from L2
  return choose_tiles(kernels, rows * columns, blocks, taps * kBlock).cycles + copies < 0.95 * by_row;
}

std::vector<int64_t> spread_groups(int64_t channels, int64_t groups) {
  const int64_t each = channels / groups, padded = blocks(each) * kBlock;
  std::vector<int64_t> from;
  for (int64_t i = 0; i < groups * padded; ++i) from.push_back(i % padded < each ? i / padded * each + i % padded : -1);
  return from;
}

std::vector<int64_t> gather_groups(int64_t channels, int64_t groups) {
  const int64_t each = channels / groups, padded = blocks(each) * kBlock;
  std::vector<int64_t> from;
  for (int64_t i = 0; i < blocks(channels) * kBlock; ++i)
    from.push_back(i < channels ? i / each * padded + i % each : -1);
  return from;
}

std::vector<std::vector<int64_t>> fold_lists(int64_t size, int64_t before, int64_t after, PaddingMode mode) {
  std::vector<std::vector<int64_t>> lists(static_cast<size_t>(size));
  for (int64_t i = 0; i < before + size + after; ++i) {
    const int64_t source = source_index(i - before, size, mode);
    if (source >= 0) lists[static_cast<size_t>(source)].push_back(i);
  }
  return lists;
}

Status ConvStages::make(const StreamProblem& problem, const Around& around, int threads,
                        std::unique_ptr<Operation>* operation) {
  auto stages = std::make_unique<ConvStages>();
  // What is moved, or folded, is float32 for the stream, however it lies in memory.
  const bool source_moves = !problem.planar && problem.groups > 1 && problem.weight.depth % kBlock != 0;
  const bool dest_moves = problem.groups > 1 && problem.weight.lanes % kBlock != 0;
  StreamProblem streamed = problem;
  if (source_moves) streamed.source_type = DType::kFloat32;
  if (dest_moves) streamed.dest_type = DType::kFloat32;
  FOVEA_RETURN_IF_ERROR(ConvStream::plan(streamed, threads, &stages->stream_));
  ConvStages& s = *stages;
  s.around_ = around;
  s.source_type_ = problem.source_type;
  s.dest_type_ = problem.dest_type;
  s.images_ = problem.images;
  s.source_pixels_ = problem.rows.source * problem.columns.source;
  s.stream_h_ = problem.dest_h;
  s.stream_w_ = problem.dest_w;
  s.stream_source_blocks_ = problem.groups * blocks(problem.weight.depth);
  s.stream_dest_blocks_ = problem.groups * blocks(problem.weight.lanes);
  if (source_moves) s.spread_ = spread_groups(around.source_channels, problem.groups);
  if (dest_moves) s.gather_ = gather_groups(around.dest_channels, problem.groups);
  const bool folds = !around.fold_rows.empty();
  const double most = static_cast<double>(s.images_) * static_cast<double>(kBlock) *
                      (static_cast<double>(s.stream_source_blocks_) * static_cast<double>(s.source_pixels_) +
                       static_cast<double>(s.stream_dest_blocks_) * static_cast<double>(s.stream_h_) *
                           static_cast<double>(s.stream_w_));
  if (most > static_cast<double>(int64_t{1} << 44))
    return {Code::kMemory, around.name + ": workspace would exceed 64 TiB"};
  const int64_t stream_planes = s.images_ * s.stream_dest_blocks_ * kBlock;
  if (source_moves)
    s.spread_floats_ = static_cast<size_t>(s.images_ * s.stream_source_blocks_ * kBlock * s.source_pixels_);
  if (folds || dest_moves) s.stream_floats_ = static_cast<size_t>(stream_planes * s.stream_h_ * s.stream_w_);
  if (folds && dest_moves) s.folded_floats_ = static_cast<size_t>(stream_planes * around.dest_h * around.dest_w);
  *operation = std::move(stages);
  return {};
}

size_t ConvStages::workspace_bytes() const {
  return (spread_floats_ + stream_floats_ + folded_floats_) * sizeof(float) + stream_.workspace_bytes();
}

// Each output pixel adds what was computed for the padded pixels that repeat it, in a fixed order.
void ConvStages::fold(const float* from, float* to) const {
  for (int64_t h = 0; h < around_.dest_h; ++h) {
    for (int64_t w = 0; w < around_.dest_w; ++w, to += kBlock) {
      float sum[kBlock] = {};
      for (int64_t row : around_.fold_rows[static_cast<size_t>(h)]) {
        for (int64_t column : around_.fold_columns[static_cast<size_t>(w)]) {
          const float* pixel = from + (row * stream_w_ + column) * kBlock;
          for (int i = 0; i < kBlock; ++i) sum[i] += pixel[i];
        }
      }
      std::memcpy(to, sum, sizeof(sum));
    }
  }
}

Status ConvStages::run(const RunContext& context) const {
  Values source(context.inputs[0], source_type_);
  const MutableValues output(context.outputs[0], dest_type_);
  float* spread = reinterpret_cast<float*>(context.workspace);
  float* streamed = spread + spread_floats_;
  float* folded = streamed + stream_floats_;
  std::byte* workspace = reinterpret_cast<std::byte*>(folded + folded_floats_);
  const int64_t pixels = around_.dest_h * around_.dest_w;

  if (!spread_.empty()) {
    move_channels(context.pool, source, images_, blocks(around_.source_channels), source_pixels_, spread_, spread);
    source = spread;
  }
  const bool folds = !around_.fold_rows.empty();
  MutableValues dest = stream_floats_ > 0 ? MutableValues(streamed) : output;
  FOVEA_RETURN_IF_ERROR(stream_.run(context, source, context.in<float>(1),
                                    around_.has_bias ? context.in<float>(2) : nullptr, dest, workspace));
  if (folds) {
    const int64_t from = stream_h_ * stream_w_ * kBlock, to = pixels * kBlock;
    float* target = folded_floats_ > 0 ? folded : output.floats();
    context.pool.parallel_for(images_ * stream_dest_blocks_,
                              [&](int64_t i, int) { fold(dest.floats() + i * from, target + i * to); });
    dest = target;
  }
  if (!gather_.empty())
    move_channels(context.pool, dest.floats(), images_, stream_dest_blocks_, pixels, gather_, output);
  return {};
}

std::string ConvStages::describe() const {
  return around_.name + ": " + stream_.describe() + (spread_.empty() && gather_.empty() ? "" : ", groups moved") +
         (around_.fold_rows.empty() ? "" : ", padding folded");
}

}  // namespace fovea
