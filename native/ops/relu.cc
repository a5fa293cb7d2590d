// y = max(x, 0); NaN stays NaN.
#include <algorithm>

#include "ops/operations.h"
#include "runtime/thread_pool.h"

namespace fovea {
namespace {

constexpr int64_t kChunk = 16384;

class Relu : public Operation {
 public:
  explicit Relu(int64_t elements) : elements_(elements) {}

  Status run(const RunContext& context) const override {
    const float* x = context.in<float>(0);
    float* y = context.out<float>(0);
    context.pool.parallel_for((elements_ + kChunk - 1) / kChunk, [&](int64_t task, int) {
      const int64_t end = std::min(elements_, (task + 1) * kChunk);
      for (int64_t i = task * kChunk; i < end; ++i) y[i] = x[i] < 0 ? 0 : x[i];
    });
    return {};
  }

 private:
  int64_t elements_;
};

}  // namespace

Status make_relu(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  if (spec.inputs.size() != 1 || spec.outputs.size() != 1 || !spec.inputs[0].present || !spec.outputs[0].present) {
    return {Code::kOption, "relu: expected one input and one output"};
  }
  const Operand &x = spec.inputs[0], &y = spec.outputs[0];
  if (x.dtype != DType::kFloat32 || y.dtype != DType::kFloat32) return {Code::kDtype, "relu: expected float32"};
  if (x.shape != y.shape) return {Code::kShape, "relu: input and output differ in shape"};
  operation->reset(new Relu(x.elements()));
  return {};
}

}  // namespace fovea
