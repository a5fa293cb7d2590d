#include "ops/conv_repeated.h"

#include <algorithm>
#include <utility>

#include "ops/conv_pack.h"
#include "ops/parallel.h"
#include "runtime/thread_pool.h"
#include "runtime/values.h"

namespace fovea {

namespace {

int64_t times_of(const ConvGeometry& g) { return g.k_group() / g.c_group(); }

ConvGeometry repeated(const ConvGeometry& g) {
  ConvGeometry wide = g;
  wide.c = g.k, wide.groups = g.groups * times_of(g);
  return wide;
}

// The channel of K that is this one's `time`th repetition.
int64_t repetition(const ConvGeometry& g, int64_t channel, int64_t time) {
  return channel / g.c_group() * g.k_group() + time * g.c_group() + channel % g.c_group();
}

Status check_workspace(const OpSpec& spec, const ConvGeometry& g) {
  const double values = static_cast<double>(g.n) * static_cast<double>(g.k) * static_cast<double>(g.h * g.w);
  if (values <= static_cast<double>(int64_t{1} << 44)) return {};
  return {Code::kMemory, spec.name + ": workspace would exceed 64 TiB"};
}

// Around the convolution of K channels, whose images all lie in memory as the given one with K channels does.
class Repeated : public Operation {
 public:
  Repeated(const ConvGeometry& g, DType narrow, DType wide, std::unique_ptr<Operation> conv)
      : g_(g), narrow_(narrow), wide_(wide), conv_(std::move(conv)) {}

  size_t workspace_bytes() const override { return image_bytes() + conv_->workspace_bytes(); }
  std::string describe() const override {
    return conv_->describe() + ", channels repeated " + std::to_string(times_of(g_)) + " times";
  }

 protected:
  int64_t pixels() const { return g_.h * g_.w; }
  size_t image_bytes() const {
    const int64_t values = g_.n * blocks(g_.k) * kBlock * pixels();
    return static_cast<size_t>(round_up(values * (wide_ == DType::kFloat32 ? 4 : 2), 64));
  }

  ConvGeometry g_;
  DType narrow_, wide_;  // of images of C channels and of K
  std::unique_ptr<Operation> conv_;
};

// Forward and the weight gradient: x is input 0.
class RepeatedSource : public Repeated {
 public:
  RepeatedSource(const ConvGeometry& g, DType narrow, DType wide, bool has_bias, std::unique_ptr<Operation> conv)
      : Repeated(g, narrow, wide, std::move(conv)), has_bias_(has_bias) {}

  Status run(const RunContext& context) const override {
    std::vector<int64_t> from(static_cast<size_t>(blocks(g_.k) * kBlock), -1);
    for (int64_t channel = 0; channel < g_.c; ++channel) {
      for (int64_t time = 0; time < times_of(g_); ++time)
        from[static_cast<size_t>(repetition(g_, channel, time))] = channel;
    }
    move_channels(context.pool, Values(context.inputs[0], narrow_), g_.n, blocks(g_.c), pixels(), from,
                  MutableValues(context.workspace, wide_));
    const void* const inputs[] = {context.workspace, context.inputs[1], has_bias_ ? context.inputs[2] : nullptr};
    RunContext wide = context;
    wide.inputs = inputs;
    wide.workspace += image_bytes();
    return conv_->run(wide);
  }

 private:
  bool has_bias_;
};

// dx is output 0.
class AddedGradient : public Repeated {
 public:
  using Repeated::Repeated;

  Status run(const RunContext& context) const override {
    void* const outputs[] = {context.workspace};
    RunContext wide = context;
    wide.outputs = outputs;
    wide.workspace += image_bytes();
    FOVEA_RETURN_IF_ERROR(conv_->run(wide));
    const Values from(static_cast<const void*>(context.workspace), wide_);
    const MutableValues to(context.outputs[0], narrow_);
    const int64_t plane = pixels() * kBlock;
    return for_tasks(context, g_.n * blocks(g_.c), [&](int64_t task) {
      const int64_t image = task / blocks(g_.c), block = task % blocks(g_.c);
      take_block(from + image * blocks(g_.k) * plane, repetitions_of(block), pixels(), to + task * plane);
    });
  }

 private:
  // What one block of dx adds up.
  std::vector<TakenLanes> repetitions_of(int64_t block) const {
    std::vector<TakenLanes> taken;
    const int64_t times = times_of(g_), first = block * times, end = std::min(first + times, blocks(g_.k));
    for (int64_t from = first; from < end; ++from) {
      for (int64_t time = 0; time < times; ++time) {
        taken.push_back({from, {}});
        for (int64_t lane = 0; lane < kBlock; ++lane) {
          const int64_t in_block = repetition(g_, lane, time) - (from - first) * kBlock;
          taken.back().lanes[static_cast<size_t>(lane)] =
              in_block >= 0 && in_block < kBlock ? static_cast<int32_t>(in_block) : -1;
        }
      }
    }
    return taken;
  }
};

// Of images that lie in memory as `type`.
Status make_with_source(decltype(make_depthwise_forward) make, const OpSpec& spec, const ConvGeometry& g, DType type,
                        bool has_bias, std::unique_ptr<Operation>* operation) {
  FOVEA_RETURN_IF_ERROR(check_workspace(spec, g));
  OpSpec wide = spec;
  wide.inputs[0].dtype = type;
  std::unique_ptr<Operation> conv;
  FOVEA_RETURN_IF_ERROR(make(wide, repeated(g), &conv));
  *operation = std::make_unique<RepeatedSource>(g, spec.inputs[0].dtype, type, has_bias, std::move(conv));
  return {};
}

}  // namespace

bool supports_repeated(const OpSpec& spec, const ConvGeometry& g) {
  const bool blocked = spec.inputs[0].layout == Layout::kBlocked;
  return blocked && g.groups > 1 && g.k_group() > g.c_group() && g.k_group() <= kBlock &&
         g.k_group() % g.c_group() == 0 && repeated(g).narrow_groups();
}

Status make_repeated_forward(const OpSpec& spec, const ConvGeometry& g, std::unique_ptr<Operation>* operation) {
  const bool has_bias = operand_at(spec.inputs, 2).present;
  return make_with_source(make_depthwise_forward, spec, g, spec.outputs[0].dtype, has_bias, operation);
}

Status make_repeated_grad_weight(const OpSpec& spec, const ConvGeometry& g, std::unique_ptr<Operation>* operation) {
  return make_with_source(make_depthwise_grad_weight, spec, g, spec.inputs[1].dtype, false, operation);
}

Status make_repeated_grad_input(const OpSpec& spec, const ConvGeometry& g, std::unique_ptr<Operation>* operation) {
  FOVEA_RETURN_IF_ERROR(check_workspace(spec, g));
  OpSpec wide = spec;
  wide.outputs[0].dtype = spec.inputs[0].dtype;
  std::unique_ptr<Operation> conv;
  FOVEA_RETURN_IF_ERROR(make_depthwise_grad_input(wide, repeated(g), &conv));
  *operation = std::make_unique<AddedGradient>(g, spec.outputs[0].dtype, wide.outputs[0].dtype, std::move(conv));
  return {};
}

}  // namespace fovea
