#include "ops/conv_depthwise.h"

#include <algorithm>
#include <cstring>

#include "ops/conv_depthwise_bands.h"
#include "simd/macros.h"

namespace fovea {

namespace {

constexpr int64_t kLeastBlocks = 8;  // of outputs: below so many planes each is cut into bands
// Rows of outputs, whose pixels are asked for from those of the first to those of the last. A plane instead, and lines
// of large ones leave the caches before their turn: 96 channels at 112×112 with stride 2 took 2.2 instead of 1.5 ms.
constexpr int64_t kOutputsAhead = 3;

// Weights [tap][q][16] of one block: of operand lane l for the output in lane l ^ q. Forward the operand is the input,
// whose channel is the weight's second side; in the input gradient it is the output, whose channel is the first.
void pack_block(const DepthwiseBands& bands, const float* weight, int64_t block, bool forward, float* panel) {
  const int64_t taps = bands.taps(), group = bands.group, filter = group * taps;
  const int64_t lanes = std::min<int64_t>(kBlock, bands.channels - block * kBlock);
  for (int64_t tap = 0; tap < taps; ++tap) {
    const float* from = weight + block * kBlock * filter + bands.tap_offsets[static_cast<size_t>(tap)];
    for (int64_t q = 0; q < group; ++q, panel += kBlock) {
      for (int64_t lane = 0; lane < kBlock; ++lane) {
        const int64_t k = forward ? lane ^ q : lane, c = (forward ? lane : lane ^ q) & (group - 1);
        panel[lane] = lane < lanes ? from[k * filter + c * taps] : 0;
      }
    }
  }
}

// Forward, and the input gradient: pixels of all phases of each band.
class Depthwise : public Operation {
 public:
  struct Target {
    int64_t h, w;
    bool forward, bias, relu;
    DType type;  // of source and destination
  };
  Depthwise(DepthwiseBands bands, BlockedInput blocked, const Target& target, int threads)
      : bands_(std::move(bands)),
        blocked_(blocked),
        target_(target),
        threads_(threads),
        per_task_(
            bands_.packed || bands_.bands > 1
                ? 1
                : std::min(bands_.channel_blocks(), units_per_task(bands_.band * bands_.columns.outputs() * kBlock))),
        block_tasks_(ceil_div(bands_.channel_blocks(), per_task_)) {
    for (const AxisPhase& row : bands_.rows.phases) {
      for (const AxisPhase& column : bands_.columns.phases)
        phases_.push_back({row, column, bands_.regions(row, column)});
    }
    gaps_ = bands_.columns.step() > 1 || phases_.size() > 1;
    const double bytes =
        static_cast<double>(target.type == DType::kFloat32 ? 4 : 2) * static_cast<double>(bands_.planes());
    const double read = bytes * static_cast<double>(bands_.source_floats());
    const double written = bytes * static_cast<double>(target.h * target.w * kBlock);
    asks_ = gaps_ || outgrows_caches(read + written);
    // Phases write every other pixel, which memory takes more slowly than pixels in order: 29 MB take 0.83 ms past the
    // caches and 0.65 through them, 58 MB 1.55 and 1.71 (Zen 5, stride 2).
    past_caches_ = target.type == DType::kFloat32 && stored_past_caches(phases_.size() == 1 ? written : written / 2);
    if (bands_.bands == 0) return;
    const AxisSpan rows = span_read(bands_.rows, bands_.rows.outputs() / 2, kOutputsAhead);
    floats_ahead_ = (rows.end - rows.first) * bands_.columns.source * kBlock;
  }

  size_t workspace_bytes() const override {
    const int64_t floats =
        bands_.channel_blocks() * (bands_.weight_floats() + kBlock) + threads_ * bands_.scratch_floats();
    return (blocked_.floats() + static_cast<size_t>(floats)) * sizeof(float);
  }

  Status run(const RunContext& context) const override {
    float* blocked = reinterpret_cast<float*>(context.workspace);
    float* weight = blocked + blocked_.floats();
    float* bias = weight + bands_.channel_blocks() * bands_.weight_floats();
    float* scratch = bias + bands_.channel_blocks() * kBlock;
    FOVEA_RETURN_IF_ERROR(blocked_.run(context, context.in<float>(0), blocked));
    const Values source = blocked_.needed ? Values(blocked) : Values(context.inputs[0], target_.type);
    const MutableValues dest{context.outputs[0], target_.type};
    if (bands_.rows.holes || bands_.columns.holes) {
      const int64_t plane = target_.h * target_.w * kBlock;
      FOVEA_RETURN_IF_ERROR(for_tasks(context, bands_.planes(), [&](int64_t task) {
        std::memset((dest + task * plane).at(), 0, static_cast<size_t>(plane * dest.bytes()));
      }));
    }
    FOVEA_RETURN_IF_ERROR(for_ranges(
        context, bands_.channel_blocks(), units_per_task(4 * bands_.weight_floats()), [&](int64_t begin, int64_t end) {
          for (int64_t block = begin; block < end; ++block)
            pack_block(bands_, context.in<float>(1), block, target_.forward, weight + block * bands_.weight_floats());
        }));
    for (int64_t i = 0; target_.bias && i < bands_.channel_blocks() * kBlock; ++i)
      bias[i] = i < bands_.channels ? context.in<float>(2)[i] : 0;
    context.pool.parallel_for(tasks(), [&](int64_t task, int thread) {
      if (context.cancelled.load(std::memory_order_relaxed)) return;
      run_task(this->task(task), asks_ ? source_ahead(source, this->task(task)) : DepthwiseAhead(),
               gaps_ && task + 1 < tasks() ? dest_ahead(dest, this->task(task + 1)) : DepthwiseAhead(), source, weight,
               target_.bias ? bias : nullptr, dest, scratch + thread * bands_.scratch_floats());
    });
    return context.cancelled.load(std::memory_order_relaxed) ? Status(Code::kAborted, "cancelled") : Status();
  }

  std::string describe() const override { return describe_bands(bands_, tasks()); }

 private:
  struct Phase {
    AxisPhase row, column;
    std::vector<DepthwiseRegion> regions;
  };

  int64_t tasks() const { return bands_.images * block_tasks_ * bands_.bands; }
  DepthwiseTask task(int64_t index) const {
    const int64_t first = index % bands_.bands * bands_.band, plane_task = index / bands_.bands;
    const int64_t block = plane_task % block_tasks_ * per_task_;
    return {plane_task / block_tasks_, block, std::min(per_task_, bands_.channel_blocks() - block), first,
            std::min(bands_.band, bands_.rows.outputs() - first)};
  }

  // What lies some rows behind what the task reads: in the end of the next one.
  DepthwiseAhead source_ahead(Values source, const DepthwiseTask& task) const {
    const DepthwiseAhead here = bands_.ahead(source, task);
    const ptrdiff_t distance = std::min<ptrdiff_t>(here.end - here.at, floats_ahead_ * source.bytes());
    const Values end = source + bands_.planes() * bands_.source_floats();
    return {here.at + distance, std::min(here.end + distance, reinterpret_cast<const char*>(end.at())), here.bytes};
  }

  // Pixels of float32 are whole lines, which one store fills: asking for them was 1.01 to 1.16 times slower (Zen 5).
  DepthwiseAhead dest_ahead(MutableValues dest, const DepthwiseTask& task) const {
    if (bands_.bands > 1 || !dest.half()) return {};
    const int64_t plane = target_.h * target_.w * kBlock;
    const MutableValues first = dest + (task.image * bands_.channel_blocks() + task.block) * plane;
    return {reinterpret_cast<const char*>(first.at()),
            reinterpret_cast<const char*>((first + task.blocks * plane).at()), kBlock * dest.bytes()};
  }

  void run_task(const DepthwiseTask& task, const DepthwiseAhead& x_ahead, const DepthwiseAhead& y_ahead, Values source,
                const float* weight, const float* bias, MutableValues dest, float* scratch) const {
    const int group = depthwise_group_index(bands_.group), width = bands_.whole_width;
    const auto run = [&](const auto& kernels, const auto* from, auto* to) {
      const auto kernel = [&](const auto& call) {
        width > 0 ? kernels.whole.forward(call, width) : kernels.forward[group](call);
      };
      run_task(kernel, task, x_ahead, y_ahead, from, weight, bias, to, scratch);
    };
    if (dest.half())
      run(*depthwise_bf16_kernels(), source.halves(), dest.halves());
    else
      run(depthwise_kernels(), source.floats(), dest.floats());
  }

  // x_ahead, y_ahead: what the thread will read and write next.
  template <class Kernel, class T>
  void run_task(const Kernel& kernel, const DepthwiseTask& task, DepthwiseAhead x_ahead, DepthwiseAhead y_ahead,
                const T* source, const float* weight, const float* bias, T* dest, float* scratch) const {
    const int64_t plane = task.image * bands_.channel_blocks() + task.block;
    const T* const operand = bands_.prepare(source + plane * bands_.source_floats(), task.first, task.count, scratch);
    DepthwiseCallOf<T> call{};
    call.weight = weight + task.block * bands_.weight_floats();
    call.bias = bias ? bias + task.block * kBlock : nullptr;
    call.relu = target_.relu;
    call.past_caches = past_caches_;
    call.x_ahead = &x_ahead;
    call.y_ahead = &y_ahead;
    call.planes = task.blocks;
    call.x_plane = bands_.source_floats();
    call.y_plane = target_.h * target_.w * kBlock;
    call.weight_plane = bands_.weight_floats();
    for (const Phase& phase : phases_) {
      const int64_t y_row = phase.row.step * target_.w * kBlock, y_step = phase.column.step * kBlock;
      T* const y = dest + ((plane * target_.h + phase.row.first) * target_.w + phase.column.first) * kBlock;
      for (const DepthwiseRegion& region : phase.regions) {
        int64_t row, end;
        call.x = operand;
        if (!bands_.cut(region, task.first, task.count, &call.x, &row, &end)) continue;
        call.taps = region.taps.data();
        call.tap_count = static_cast<ptrdiff_t>(region.taps.size());
        call.y = y + row * y_row + region.columns.first * y_step;
        call.x_row = bands_.row_floats(), call.x_step = bands_.step_floats();
        call.y_row = y_row, call.y_step = y_step;
        call.rows = end - row, call.count = region.columns.count;
        const bool turns = bands_.whole_width == 0 && call.rows > call.count && call.count < kBlock / 2;
        if (turns) {  // tiles along the longer side are fuller
          std::swap(call.rows, call.count);
          std::swap(call.x_row, call.x_step);
          std::swap(call.y_row, call.y_step);
        }
        kernel(call);
      }
    }
    if (past_caches_) stores_are_seen();
  }

  DepthwiseBands bands_;
  BlockedInput blocked_;
  Target target_;
  int threads_;
  int64_t per_task_, block_tasks_;  // blocks of channels of a task: a plane of 7x7 is less work than handing it out
  std::vector<Phase> phases_;
  int64_t floats_ahead_ = 0;  // from what is read to what is asked for
  // With a stride, taps or phases leave gaps in what they read or write at a time, and what comes next is asked for. So
  // is what comes from memory: the hardware follows dense planes, too late (144 channels at 56×56: 0.75 instead of 1.3
  // ms), but from the caches it is as fast.
  bool gaps_, asks_;
  bool past_caches_;  // see DepthwiseCallOf
};

}  // namespace

bool supports_depthwise(const OpSpec&, const ConvGeometry& g) { return g.narrow_groups(); }

namespace {

// Rows are taken whole where the kernels for such pixels have registers for them.
void choose_whole_rows(DType type, DepthwiseBands* bands) {
  const int most =
      type == DType::kBfloat16 ? depthwise_bf16_kernels()->whole.most_pixels : depthwise_kernels().whole.most_pixels;
  bands->whole_width = bands->can_take_whole_rows(most) ? static_cast<int>(bands->taps_w) : 0;
}

}  // namespace

Status make_depthwise_forward(const OpSpec& spec, const ConvGeometry& g, std::unique_ptr<Operation>* operation) {
  DepthwiseBands bands = depthwise_forward_bands(g);
  choose_whole_rows(spec.outputs[0].dtype, &bands);
  FOVEA_RETURN_IF_ERROR(bands.plan(kLeastBlocks, g.p * g.q));
  const BlockedInput blocked{spec.inputs[0].layout == Layout::kPlain, g.n, g.c, g.h * g.w};
  const Depthwise::Target target{g.p,
                                 g.q,
                                 true,
                                 operand_at(spec.inputs, 2).present,
                                 spec.attributes.text("activation") == "relu",
                                 spec.outputs[0].dtype};
  operation->reset(new Depthwise(std::move(bands), blocked, target, spec.threads));
  return {};
}

Status make_depthwise_grad_input(const OpSpec& spec, const ConvGeometry& g, std::unique_ptr<Operation>* operation) {
  DepthwiseBands bands = depthwise_bands(g);
  bands.rows = gradient_axis(g.h, g.p, g.r, g.stride_h, g.dilation_h, g.top, AxisCopies::kShared);
  bands.columns = gradient_axis(g.w, g.q, g.s, g.stride_w, g.dilation_w, g.left, AxisCopies::kShared);
  choose_whole_rows(spec.outputs[0].dtype, &bands);
  FOVEA_RETURN_IF_ERROR(bands.plan(kLeastBlocks, g.h * g.w));
  const Depthwise::Target target{g.h, g.w, false, false, false, spec.outputs[0].dtype};
  operation->reset(new Depthwise(std::move(bands), {}, target, spec.threads));
  return {};
}

}  // namespace fovea
