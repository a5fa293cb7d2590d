// The weight gradient of depthwise convolution.
#include <algorithm>

#include "ops/conv_depthwise.h"
#include "ops/conv_depthwise_bands.h"

namespace fovea {

namespace {

constexpr int64_t kSumPixels = 512;  // that one register adds up
constexpr int64_t kParts = 16;       // of a batch

// Sums [tap][q][16] of one block and its bias: of x in lane l with dy in lane l ^ q.
class DepthwiseGradWeight : public Operation {
 public:
  DepthwiseGradWeight(DepthwiseBands bands, BlockedInput blocked, DType type, bool bias, int threads)
      : bands_(std::move(bands)),
        blocked_(blocked),
        type_(type),
        bias_(bias),
        threads_(threads),
        regions_(bands_.regions(bands_.rows.phases[0], bands_.columns.phases[0])),
        parts_(std::min(bands_.images, ceil_div(kParts, bands_.channel_blocks()))),
        images_(bands_.packed || bands_.bands > 1
                    ? 1
                    : std::max<int64_t>(1, kSumPixels / (bands_.rows.outputs() * bands_.columns.outputs()))) {}

  size_t workspace_bytes() const override {
    const int64_t sums = bands_.channel_blocks() * parts_ * sum_floats();
    return (blocked_.floats() + static_cast<size_t>(sums + threads_ * bands_.scratch_floats())) * sizeof(float);
  }

  Status run(const RunContext& context) const override {
    float* blocked = reinterpret_cast<float*>(context.workspace);
    float* sums = blocked + blocked_.floats();
    float* scratch = sums + bands_.channel_blocks() * parts_ * sum_floats();
    FOVEA_RETURN_IF_ERROR(blocked_.run(context, context.in<float>(0), blocked));
    const Values x = blocked_.needed ? Values(blocked) : Values(context.inputs[0], type_);
    const Values dy{context.inputs[1], type_};
    context.pool.parallel_for(bands_.channel_blocks() * parts_, [&](int64_t task, int thread) {
      if (context.cancelled.load(std::memory_order_relaxed)) return;
      const int64_t block = task % bands_.channel_blocks(), part = task / bands_.channel_blocks();
      run_part(block, part, x, dy, scratch + thread * bands_.scratch_floats(),
               sums + (block * parts_ + part) * sum_floats());
    });
    if (context.cancelled.load(std::memory_order_relaxed)) return {Code::kAborted, "cancelled"};
    return for_ranges(context, bands_.channel_blocks(), units_per_task(parts_ * sum_floats()),
                      [&](int64_t begin, int64_t end) {
                        for (int64_t block = begin; block < end; ++block) {
                          float* total = sums + block * parts_ * sum_floats();
                          for (int64_t part = 1; part < parts_; ++part) {
                            for (int64_t i = 0; i < sum_floats(); ++i) total[i] += total[part * sum_floats() + i];
                          }
                          write(block, total, context.out<float>(0), bias_ ? context.out<float>(1) : nullptr);
                        }
                      });
  }

  std::string describe() const override { return describe_bands(bands_, bands_.channel_blocks() * parts_); }

 private:
  int64_t sum_floats() const { return bands_.weight_floats() + kBlock; }

  int64_t dy_floats() const { return bands_.rows.outputs() * bands_.columns.outputs() * kBlock; }

  void run_part(int64_t block, int64_t part, Values x, Values dy, float* scratch, float* sums) const {
    std::fill_n(sums, sum_floats(), 0.f);
    const int64_t end_image = bands_.images * (part + 1) / parts_;
    const auto band_of = [&](int64_t image, int64_t first) {
      return DepthwiseTask{image, block, 1, first, std::min(bands_.band, bands_.rows.outputs() - first)};
    };
    for (DepthwiseTask band = band_of(bands_.images * part / parts_, 0), next; band.image < end_image; band = next) {
      const int64_t row = band.first + band.count;
      next = row < bands_.rows.outputs() ? band_of(band.image, row) : band_of(band.image + images_, 0);
      const bool last = next.image >= end_image;
      const DepthwiseAhead x_ahead = last ? DepthwiseAhead() : bands_.ahead(x, next);
      const DepthwiseAhead dy_ahead = last ? DepthwiseAhead() : gradient_ahead(dy, next);
      const int64_t images = std::min(images_, end_image - band.image);
      if (type_ == DType::kBfloat16)
        run_band(depthwise_bf16_kernels()->gradient, band, images, x.halves(), dy.halves(), x_ahead, dy_ahead, scratch,
                 sums);
      else
        run_band(depthwise_kernels().gradient, band, images, x.floats(), dy.floats(), x_ahead, dy_ahead, scratch, sums);
    }
  }

  // What a band reads of dy, for whoever works on the one before.
  DepthwiseAhead gradient_ahead(Values dy, const DepthwiseTask& band) const {
    const Values plane = dy + (band.image * bands_.channel_blocks() + band.block) * dy_floats();
    const auto at = [&](int64_t row) {
      return reinterpret_cast<const char*>((plane + row * bands_.columns.outputs() * kBlock).at());
    };
    return {at(band.first), at(band.first + band.count), kBlock * dy.bytes()};
  }

  // The same band of some images.
  template <class T>
  void run_band(void (*const* kernels)(const DepthwiseGradCallOf<T>&), const DepthwiseTask& band, int64_t images,
                const T* x, const T* dy, const DepthwiseAhead& x_ahead, const DepthwiseAhead& dy_ahead, float* scratch,
                float* sums) const {
    const int64_t plane = band.image * bands_.channel_blocks() + band.block;
    const T* const operand = bands_.prepare(x + plane * bands_.source_floats(), band.first, band.count, scratch);
    DepthwiseGradCallOf<T> call{};
    call.x_row = bands_.row_floats(), call.x_step = bands_.step_floats();
    call.dy_row = bands_.columns.outputs() * kBlock;
    call.images = images;
    call.x_image = bands_.channel_blocks() * bands_.source_floats();
    call.dy_image = bands_.channel_blocks() * dy_floats();
    call.sums = sums;
    call.bias = bias_ ? sums + bands_.weight_floats() : nullptr;
    call.x_ahead = x_ahead, call.dy_ahead = dy_ahead;
    for (const DepthwiseRegion& region : regions_) {
      int64_t row, end;
      call.x = operand;
      if (!bands_.cut(region, band.first, band.count, &call.x, &row, &end)) continue;
      call.taps = region.taps.data();
      call.tap_count = static_cast<ptrdiff_t>(region.taps.size());
      call.dy = dy + plane * dy_floats() + row * call.dy_row + region.columns.first * kBlock;
      call.rows = end - row, call.count = region.columns.count;
      kernels[depthwise_group_index(bands_.group)](call);
      call.x_ahead = call.dy_ahead = {};
    }
  }

  void write(int64_t block, const float* sums, float* dw, float* db) const {
    const int64_t taps = bands_.taps(), group = bands_.group, filter = group * taps;
    const int64_t lanes = std::min<int64_t>(kBlock, bands_.channels - block * kBlock);
    float* const to = dw + block * kBlock * filter;
    for (int64_t tap = 0; tap < taps; ++tap) {
      for (int64_t q = 0; q < group; ++q, sums += kBlock) {
        for (int64_t lane = 0; lane < lanes; ++lane)
          to[(lane ^ q) * filter + (lane & (group - 1)) * taps + bands_.tap_offsets[static_cast<size_t>(tap)]] =
              sums[lane];
      }
    }
    if (db) std::copy_n(sums, lanes, db + block * kBlock);
  }

  DepthwiseBands bands_;
  BlockedInput blocked_;
  DType type_;  // of x and dy
  bool bias_;
  int threads_;
  std::vector<DepthwiseRegion> regions_;
  int64_t parts_;
  int64_t images_;  // that one call takes: their sums stay in registers
};

}  // namespace

Status make_depthwise_grad_weight(const OpSpec& spec, const ConvGeometry& g, std::unique_ptr<Operation>* operation) {
  DepthwiseBands bands = depthwise_forward_bands(g);
  FOVEA_RETURN_IF_ERROR(bands.plan(1, kSumPixels));
  const BlockedInput blocked{spec.inputs[0].layout == Layout::kPlain, g.n, g.c, g.h * g.w};
  operation->reset(new DepthwiseGradWeight(std::move(bands), blocked, spec.inputs[0].dtype,
                                           operand_at(spec.outputs, 1).present, spec.threads));
  return {};
}

}  // namespace fovea
