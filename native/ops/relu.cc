// y = max(x, 0), NaN stays NaN; its gradient passes where y > 0.
#include "kernels/eltwise/eltwise.h"
#include "ops/check.h"
#include "ops/operations.h"
#include "ops/parallel.h"

namespace fovea {
namespace {

template <class T>  // how values lie in memory
class Relu : public Operation {
 public:
  explicit Relu(int64_t elements) : elements_(elements) {}

  Status run(const RunContext& context) const override {
    const T* const x = context.in<T>(0);
    T* const y = context.out<T>(0);
    return for_ranges(context, elements_, kGrain,
                      [&](int64_t begin, int64_t end) { kernels_.relu(x + begin, y + begin, end - begin); });
  }
  std::string describe() const override {
    return describe_kernel("eltwise", kernels_.isa, ceil_div(elements_, kGrain));
  }

 private:
  int64_t elements_;
  decltype(eltwise_kernels_of<T>()) kernels_ = eltwise_kernels_of<T>();
};

template <class T>
class ReluBackward : public Operation {
 public:
  explicit ReluBackward(int64_t elements) : elements_(elements) {}

  Status run(const RunContext& context) const override {
    const T *const dy = context.in<T>(0), *const y = context.in<T>(1);
    T* const dx = context.out<T>(0);
    return for_ranges(context, elements_, kGrain, [&](int64_t begin, int64_t end) {
      kernels_.relu_backward(dy + begin, y + begin, dx + begin, end - begin);
    });
  }
  std::string describe() const override {
    return describe_kernel("eltwise", kernels_.isa, ceil_div(elements_, kGrain));
  }

 private:
  int64_t elements_;
  decltype(eltwise_kernels_of<T>()) kernels_ = eltwise_kernels_of<T>();
};

}  // namespace

Status make_relu(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  SpecCheck check(spec, 1, 1);
  const Operand& x = check.in(0);
  check.tensor(x, "x", image_type(x));
  check.like(check.out(0), "y", x, x.dtype);
  FOVEA_RETURN_IF_ERROR(check.status());
  if (x.dtype == DType::kBfloat16)
    operation->reset(new Relu<Bfloat16>(x.elements()));
  else
    operation->reset(new Relu<float>(x.elements()));
  return {};
}

Status make_reluBackward(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  SpecCheck check(spec, 2, 1);
  const Operand& dy = check.in(0);
  check.tensor(dy, "dy", image_type(dy));
  check.like(check.in(1), "y", dy, dy.dtype);
  check.like(check.out(0), "dx", dy, dy.dtype);
  FOVEA_RETURN_IF_ERROR(check.status());
  if (dy.dtype == DType::kBfloat16)
    operation->reset(new ReluBackward<Bfloat16>(dy.elements()));
  else
    operation->reset(new ReluBackward<float>(dy.elements()));
  return {};
}

}  // namespace fovea
