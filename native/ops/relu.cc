// y = max(x, 0), NaN stays NaN; its gradient passes where y > 0.
#include "kernels/eltwise/eltwise.h"
#include "ops/check.h"
#include "ops/operations.h"
#include "ops/parallel.h"

namespace fovea {
namespace {

class Relu : public Operation {
 public:
  explicit Relu(int64_t elements) : elements_(elements) {}

  Status run(const RunContext& context) const override {
    const float* const x = context.in<float>(0);
    float* const y = context.out<float>(0);
    return for_ranges(context, elements_, kGrain,
                      [&](int64_t begin, int64_t end) { kernels_.relu(x + begin, y + begin, end - begin); });
  }
  std::string describe() const override {
    return describe_kernel("eltwise", kernels_.isa, ceil_div(elements_, kGrain));
  }

 private:
  int64_t elements_;
  const EltwiseKernels& kernels_ = eltwise_kernels();
};

class ReluBackward : public Operation {
 public:
  explicit ReluBackward(int64_t elements) : elements_(elements) {}

  Status run(const RunContext& context) const override {
    const float *const dy = context.in<float>(0), *const y = context.in<float>(1);
    float* const dx = context.out<float>(0);
    return for_ranges(context, elements_, kGrain, [&](int64_t begin, int64_t end) {
      kernels_.relu_backward(dy + begin, y + begin, dx + begin, end - begin);
    });
  }
  std::string describe() const override {
    return describe_kernel("eltwise", kernels_.isa, ceil_div(elements_, kGrain));
  }

 private:
  int64_t elements_;
  const EltwiseKernels& kernels_ = eltwise_kernels();
};

}  // namespace

Status make_relu(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  SpecCheck check(spec, 1, 1);
  check.tensor(check.in(0), "x");
  check.like(check.out(0), "y", check.in(0));
  FOVEA_RETURN_IF_ERROR(check.status());
  operation->reset(new Relu(check.in(0).elements()));
  return {};
}

Status make_reluBackward(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  SpecCheck check(spec, 2, 1);
  check.tensor(check.in(0), "dy");
  check.like(check.in(1), "y", check.in(0));
  check.like(check.out(0), "dx", check.in(0));
  FOVEA_RETURN_IF_ERROR(check.status());
  operation->reset(new ReluBackward(check.in(0).elements()));
  return {};
}

}  // namespace fovea
