#include "ops/conv_depthwise.h"

#include <algorithm>

#include "kernels/depthwise/depthwise.h"
#include "kernels/layout/layout.h"
#include "ops/parallel.h"

namespace fovea {

namespace {

constexpr double kBandBytes = 64 * 1024;  // packed rows of one block of channels
constexpr int64_t kParts = 16;            // of a batch, in the weight gradient

// What the three operators share: blocks of channels of `images`, in bands of rows, packed unless they can be read in
// place.
struct Bands {
  Axis rows, columns;
  PackedBand pack;
  bool direct = false;
  int64_t images = 0, channels = 0, taps_w = 1, band = 1, bands = 1, scratch_floats = 0;
  std::vector<int64_t> tap_offsets;

  int64_t channel_blocks() const { return blocks(channels); }
  int64_t source_floats() const { return rows.source * columns.source * kBlock; }
  int64_t pitch() const { return direct ? columns.source : pack.pitch(); }
  WeightView weight() const {
    const int64_t taps = static_cast<int64_t>(tap_offsets.size());
    return {channels, 1, taps, taps, 0};
  }

  Status plan() {
    const double row = static_cast<double>(rows.classes.size() * columns.classes.size()) *
                       static_cast<double>(columns.outputs() + columns.extra()) * 64;
    if (row * static_cast<double>(1 + rows.extra()) > 1e12)
      return {Code::kMemory, "convolution workspace would exceed 1 TB"};
    if (rows.phases.empty() || columns.phases.empty()) {  // every output is zero
      bands = 0;
      return {};
    }
    direct = rows.direct() && columns.direct();
    band =
        std::clamp<int64_t>(static_cast<int64_t>(kBandBytes / std::max(row, 64.0)) - rows.extra(), 1, rows.outputs());
    bands = ceil_div(rows.outputs(), band);
    pack = PackedBand(rows, columns, kBlock, band);
    scratch_floats = direct ? 0 : pack.floats();
    return {};
  }
  // Where the taps of two phases stand, from the first output of a band.
  std::vector<ptrdiff_t> offsets(const AxisPhase& row, const AxisPhase& column) const {
    std::vector<ptrdiff_t> list;
    for (const AxisTap& r : row.taps) {
      for (const AxisTap& c : column.taps) {
        list.push_back(
            direct
                ? ((rows.classes[0].first + r.offset) * columns.source + columns.classes[0].first + c.offset) * kBlock
                : pack.offset(r, c));
      }
    }
    return list;
  }
  // The band of one block of channels, ready to be read at `offsets`.
  const float* prepare(const float* source, int64_t first, int64_t count, float* scratch) const {
    if (direct) return source + first * columns.source * kBlock;
    pack.pack(source, first, count, scratch);
    return scratch;
  }
};

// Plain x as blocked, for a call that did not go through the planner's layouts.
struct Blocked {
  bool needed = false;
  int64_t images = 0, channels = 0, pixels = 0;

  size_t floats() const { return needed ? static_cast<size_t>(images * blocks(channels) * kBlock * pixels) : 0; }
  Status run(const RunContext& context, const float* from, float* to) const {
    if (!needed) return {};
    const int64_t each = blocks(channels);
    return for_tasks(context, images * each, [&](int64_t task) {
      const int64_t first = task % each * kBlock;
      layout_kernels().to_blocked(from + (task / each * channels + first) * pixels, pixels,
                                  static_cast<int>(std::min<int64_t>(kBlock, channels - first)), pixels,
                                  to + task * kBlock * pixels);
    });
  }
};

// Forward, and the input gradient: pixels of all phases of each band.
class Depthwise : public Operation {
 public:
  Depthwise(Bands bands, Blocked blocked, int64_t dest_h, int64_t dest_w, bool bias, bool relu, int threads)
      : bands_(std::move(bands)),
        blocked_(blocked),
        dest_h_(dest_h),
        dest_w_(dest_w),
        bias_(bias),
        relu_(relu),
        threads_(threads) {
    for (const AxisPhase& row : bands_.rows.phases) {
      for (const AxisPhase& column : bands_.columns.phases) {
        Phase phase{row, column, bands_.offsets(row, column), {}, weight_floats_};
        for (const AxisTap& r : row.taps) {
          for (const AxisTap& c : column.taps)
            phase.taps.push_back(bands_.tap_offsets[static_cast<size_t>(r.tap * bands_.taps_w + c.tap)]);
        }
        weight_floats_ += bands_.channel_blocks() * static_cast<int64_t>(phase.taps.size()) * kBlock;
        phases_.push_back(std::move(phase));
      }
    }
  }

  size_t workspace_bytes() const override {
    return (blocked_.floats() +
            static_cast<size_t>(weight_floats_ + bands_.channel_blocks() * kBlock + threads_ * bands_.scratch_floats)) *
           sizeof(float);
  }

  Status run(const RunContext& context) const override {
    float* blocked = reinterpret_cast<float*>(context.workspace);
    float* weight = blocked + blocked_.floats();
    float* bias = weight + weight_floats_;
    float* scratch = bias + bands_.channel_blocks() * kBlock;
    FOVEA_RETURN_IF_ERROR(blocked_.run(context, context.in<float>(0), blocked));
    const float* source = blocked_.needed ? blocked : context.in<float>(0);
    if (bands_.rows.holes || bands_.columns.holes) {
      const int64_t plane = dest_h_ * dest_w_ * kBlock;
      FOVEA_RETURN_IF_ERROR(for_tasks(context, bands_.images * bands_.channel_blocks(), [&](int64_t task) {
        std::fill_n(context.out<float>(0) + task * plane, plane, 0.f);
      }));
    }
    for (const Phase& phase : phases_) {
      pack_weight(context.in<float>(1), bands_.weight(), phase.taps, 1, 0, bands_.channel_blocks(),
                  weight + phase.weight);
    }
    for (int64_t i = 0; bias_ && i < bands_.channel_blocks() * kBlock; ++i)
      bias[i] = i < bands_.channels ? context.in<float>(2)[i] : 0;
    context.pool.parallel_for(bands_.images * bands_.channel_blocks() * bands_.bands, [&](int64_t task, int thread) {
      if (context.cancelled.load(std::memory_order_relaxed)) return;
      run_band(task, source, weight, bias_ ? bias : nullptr, context.out<float>(0),
               scratch + thread * bands_.scratch_floats);
    });
    return context.cancelled.load(std::memory_order_relaxed) ? Status(Code::kAborted, "cancelled") : Status();
  }

  std::string describe() const override {
    return std::string("depthwise ") + depthwise_kernels().isa + (bands_.direct ? ", in place" : ", packed") +
           ", rows " + std::to_string(bands_.band) + ", tasks " +
           std::to_string(bands_.images * bands_.channel_blocks() * bands_.bands);
  }

 private:
  struct Phase {
    AxisPhase row, column;
    std::vector<ptrdiff_t> offsets;
    std::vector<int64_t> taps;
    int64_t weight;
  };

  void run_band(int64_t task, const float* source, const float* weight, const float* bias, float* dest,
                float* scratch) const {
    const int64_t plane = task / bands_.bands, block = plane % bands_.channel_blocks(),
                  first = task % bands_.bands * bands_.band;
    const int64_t count = std::min(bands_.band, bands_.rows.outputs() - first);
    const float* x = bands_.prepare(source + plane * bands_.source_floats(), first, count, scratch);
    for (const Phase& phase : phases_) {
      DepthwiseCall call{};
      call.offsets = phase.offsets.data();
      call.taps = static_cast<ptrdiff_t>(phase.offsets.size());
      call.weight = weight + phase.weight + block * call.taps * kBlock;
      call.bias = bias ? bias + block * kBlock : nullptr;
      call.relu = relu_;
      call.y_step = phase.column.step * kBlock;
      call.count = phase.column.outputs;
      for (int64_t row = first; row < std::min(first + count, phase.row.outputs); ++row) {
        call.x = x + (row - first) * bands_.pitch() * kBlock;
        const int64_t target =
            (plane * dest_h_ + phase.row.first + row * phase.row.step) * dest_w_ + phase.column.first;
        call.y = dest + target * kBlock;
        depthwise_kernels().forward(call);
      }
    }
  }

  Bands bands_;
  Blocked blocked_;
  int64_t dest_h_, dest_w_, weight_floats_ = 0;
  bool bias_, relu_;
  int threads_;
  std::vector<Phase> phases_;
};

class DepthwiseGradWeight : public Operation {
 public:
  DepthwiseGradWeight(Bands bands, Blocked blocked, bool bias, int threads)
      : bands_(std::move(bands)),
        blocked_(blocked),
        bias_(bias),
        threads_(threads),
        offsets_(bands_.offsets(bands_.rows.phases[0], bands_.columns.phases[0])),
        parts_(std::min(bands_.images, ceil_div(kParts, bands_.channel_blocks()))) {}

  size_t workspace_bytes() const override {
    const int64_t sums = bands_.channel_blocks() * parts_ * sum_floats();
    return (blocked_.floats() + static_cast<size_t>(sums + threads_ * bands_.scratch_floats)) * sizeof(float);
  }

  Status run(const RunContext& context) const override {
    float* blocked = reinterpret_cast<float*>(context.workspace);
    float* sums = blocked + blocked_.floats();
    float* scratch = sums + bands_.channel_blocks() * parts_ * sum_floats();
    FOVEA_RETURN_IF_ERROR(blocked_.run(context, context.in<float>(0), blocked));
    const float* x = blocked_.needed ? blocked : context.in<float>(0);
    context.pool.parallel_for(bands_.channel_blocks() * parts_, [&](int64_t task, int thread) {
      if (context.cancelled.load(std::memory_order_relaxed)) return;
      run_part(task / parts_, task % parts_, x, context.in<float>(1), scratch + thread * bands_.scratch_floats,
               sums + task * sum_floats());
    });
    if (context.cancelled.load(std::memory_order_relaxed)) return {Code::kAborted, "cancelled"};
    for (int64_t block = 0; block < bands_.channel_blocks(); ++block) {
      float* total = sums + block * parts_ * sum_floats();
      for (int64_t part = 1; part < parts_; ++part) {
        for (int64_t i = 0; i < sum_floats(); ++i) total[i] += total[part * sum_floats() + i];
      }
      write(block, total, context.out<float>(0), bias_ ? context.out<float>(1) : nullptr);
    }
    return {};
  }

  std::string describe() const override {
    return std::string("depthwise ") + depthwise_kernels().isa + (bands_.direct ? ", in place" : ", packed") +
           ", rows " + std::to_string(bands_.band) + ", tasks " + std::to_string(bands_.channel_blocks() * parts_);
  }

 private:
  int64_t sum_floats() const { return (static_cast<int64_t>(offsets_.size()) + 1) * kBlock; }

  void run_part(int64_t block, int64_t part, const float* x, const float* dy, float* scratch, float* sums) const {
    const int64_t columns = bands_.columns.outputs(), rows = bands_.rows.outputs();
    std::fill_n(sums, sum_floats(), 0.f);
    DepthwiseGradCall call{nullptr, offsets_.data(), static_cast<ptrdiff_t>(offsets_.size()), nullptr, columns, sums};
    for (int64_t image = bands_.images * part / parts_; image < bands_.images * (part + 1) / parts_; ++image) {
      const int64_t plane = image * bands_.channel_blocks() + block;
      for (int64_t first = 0; first < rows; first += bands_.band) {
        const int64_t count = std::min(bands_.band, rows - first);
        const float* source = bands_.prepare(x + plane * bands_.source_floats(), first, count, scratch);
        for (int64_t row = 0; row < count; ++row) {
          call.x = source + row * bands_.pitch() * kBlock;
          call.dy = dy + (plane * rows + first + row) * columns * kBlock;
          depthwise_kernels().gradient(call);
        }
      }
    }
  }

  void write(int64_t block, const float* sums, float* dw, float* db) const {
    const int64_t taps = static_cast<int64_t>(offsets_.size());
    for (int64_t lane = 0; lane < std::min<int64_t>(kBlock, bands_.channels - block * kBlock); ++lane) {
      const int64_t channel = block * kBlock + lane;
      for (int64_t tap = 0; tap < taps; ++tap)
        dw[channel * taps + bands_.tap_offsets[static_cast<size_t>(tap)]] = sums[tap * kBlock + lane];
      if (db) db[channel] = sums[taps * kBlock + lane];
    }
  }

  Bands bands_;
  Blocked blocked_;
  bool bias_;
  int threads_;
  std::vector<ptrdiff_t> offsets_;
  int64_t parts_;
};

Bands forward_bands(const ConvGeometry& g) {
  Bands bands;
  bands.rows = forward_axis(g.h, g.p, g.r, g.stride_h, g.dilation_h, g.top, g.mode, false);
  bands.columns = forward_axis(g.w, g.q, g.s, g.stride_w, g.dilation_w, g.left, g.mode, false);
  bands.images = g.n;
  bands.channels = g.c;
  bands.taps_w = g.s;
  bands.tap_offsets = g.tap_offsets();
  return bands;
}

}  // namespace

bool supports_depthwise(const OpSpec&, const ConvGeometry& g) { return g.groups > 1 && g.groups == g.c && g.k == g.c; }

Status make_depthwise_forward(const OpSpec& spec, const ConvGeometry& g, std::unique_ptr<Operation>* operation) {
  Bands bands = forward_bands(g);
  FOVEA_RETURN_IF_ERROR(bands.plan());
  const Blocked blocked{spec.inputs[0].layout == Layout::kPlain, g.n, g.c, g.h * g.w};
  operation->reset(new Depthwise(std::move(bands), blocked, g.p, g.q, operand_at(spec.inputs, 2).present,
                                 spec.attributes.text("activation") == "relu", spec.threads));
  return {};
}

Status make_depthwise_grad_input(const OpSpec& spec, const ConvGeometry& g, std::unique_ptr<Operation>* operation) {
  Bands bands;
  bands.rows = gradient_axis(g.h, g.p, g.r, g.stride_h, g.dilation_h, g.top, false);
  bands.columns = gradient_axis(g.w, g.q, g.s, g.stride_w, g.dilation_w, g.left, false);
  bands.images = g.n;
  bands.channels = g.c;
  bands.taps_w = g.s;
  bands.tap_offsets = g.tap_offsets();
  FOVEA_RETURN_IF_ERROR(bands.plan());
  operation->reset(new Depthwise(std::move(bands), {}, g.h, g.w, false, false, spec.threads));
  return {};
}

Status make_depthwise_grad_weight(const OpSpec& spec, const ConvGeometry& g, std::unique_ptr<Operation>* operation) {
  Bands bands = forward_bands(g);
  FOVEA_RETURN_IF_ERROR(bands.plan());
  const Blocked blocked{spec.inputs[0].layout == Layout::kPlain, g.n, g.c, g.h * g.w};
  operation->reset(
      new DepthwiseGradWeight(std::move(bands), blocked, operand_at(spec.outputs, 1).present, spec.threads));
  return {};
}

}  // namespace fovea
