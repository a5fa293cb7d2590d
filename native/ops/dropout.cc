// y = x / (1 - p) with probability 1 - p, else 0, by Philox4x32-10 over logical elements (kernels/eltwise/eltwise.h):
// the same seed and run give the same mask in every layout. Its gradient is itself applied to dy.
#include <cmath>

#include "kernels/eltwise/eltwise.h"
#include "ops/check.h"
#include "ops/operations.h"
#include "ops/parallel.h"

namespace fovea {
namespace {

class Dropout : public Operation {
 public:
  Dropout(const Operand& x, double p, uint64_t seed) : blocked_(x.layout == Layout::kBlocked), elements_(x.elements()) {
    params_.key[0] = uint32_t(seed), params_.key[1] = uint32_t(seed >> 32);
    params_.threshold = uint64_t(std::ceil(p * 4294967296.0));
    params_.scale = float(1 / (1 - p));
    if (!blocked_) return;
    channels_ = x.shape[1], pixels_ = x.shape[2] * x.shape[3];
    segments_ = ceil_div(pixels_, kSegment);
    planes_ = x.shape[0] * blocks(channels_);
    per_task_ = units_per_task(std::min(pixels_, kSegment) * kBlock);
  }

  Status run(const RunContext& context) const override {
    const float* const x = context.in<float>(0);
    float* const y = context.out<float>(0);
    DropoutParams params = params_;
    params.run[0] = uint32_t(context.counter), params.run[1] = uint32_t(context.counter >> 32);
    if (!blocked_) {
      return for_ranges(context, elements_, kGrain, [&](int64_t begin, int64_t end) {
        kernels_.dropout(x + begin, y + begin, uint64_t(begin), end - begin, params);
      });
    }
    return for_ranges(context, planes_ * segments_, per_task_, [&](int64_t begin, int64_t end) {
      for (int64_t unit = begin; unit < end; ++unit) {
        const int64_t plane = unit / segments_, from = unit % segments_ * kSegment, block = plane % blocks(channels_);
        const int64_t channel = plane / blocks(channels_) * channels_ + block * kBlock;
        const int64_t at = (plane * pixels_ + from) * kBlock;
        kernels_.dropout_blocked(x + at, y + at, uint64_t(channel * pixels_ + from), uint64_t(pixels_),
                                 std::min(kSegment, pixels_ - from), params);
      }
    });
  }
  std::string describe() const override {
    return describe_kernel("eltwise", kernels_.isa,
                           blocked_ ? ceil_div(planes_ * segments_, per_task_) : ceil_div(elements_, kGrain));
  }

 private:
  static constexpr int64_t kSegment = 1024;  // pixels: a multiple of 4, which share a random block
  bool blocked_;
  int64_t elements_, channels_ = 1, pixels_ = 1, segments_ = 1, planes_ = 1, per_task_ = 1;
  DropoutParams params_ = {};
  const EltwiseKernels& kernels_ = eltwise_kernels();
};

}  // namespace

Status make_dropout(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  SpecCheck check(spec, 1, 1);
  check.tensor(check.in(0), "x");
  check.like(check.out(0), "y", check.in(0));
  const double p = spec.attributes.real("p");
  const int64_t seed = spec.attributes.integer("seed");
  check.require(p >= 0 && p <= 1, Code::kOption, "p must be between 0 and 1, got " + std::to_string(p));
  FOVEA_RETURN_IF_ERROR(check.status());
  operation->reset(new Dropout(check.in(0), p, uint64_t(seed)));
  return {};
}

}  // namespace fovea
