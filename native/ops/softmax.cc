// softmax and logSoftmax along axis `dim`: y_c = exp(x_c) / sum exp(x), or its logarithm.
#include "kernels/softmax/softmax.h"

#include "ops/check.h"
#include "ops/operations.h"
#include "ops/parallel.h"

namespace fovea {
namespace {

// x as [outer][classes][inner].
struct SoftmaxShape {
  int64_t outer = 1, classes = 1, inner = 1;

  // A unit is one row, or up to 16 columns side by side.
  int64_t column_groups() const { return inner == 1 ? 1 : blocks(inner); }
  int64_t units() const { return outer * column_groups(); }
  int64_t per_task() const { return units_per_task(classes * std::min<int64_t>(inner, kBlock)); }
  int64_t offset(int64_t unit) const {
    return unit / column_groups() * classes * inner + unit % column_groups() * kBlock;
  }
  int lanes(int64_t unit) const { return int(std::min<int64_t>(kBlock, inner - unit % column_groups() * kBlock)); }
};

class Softmax : public Operation {
 public:
  Softmax(const SoftmaxShape& shape, bool log, bool backward) : s_(shape), log_(log), backward_(backward) {}

  Status run(const RunContext& context) const override {
    const float *const first = context.in<float>(0), *const second = backward_ ? context.in<float>(1) : nullptr;
    float* const out = context.out<float>(0);
    return for_ranges(context, s_.units(), s_.per_task(), [&](int64_t begin, int64_t end) {
      for (int64_t unit = begin; unit < end; ++unit) {
        const int64_t o = s_.offset(unit);
        if (s_.inner == 1) {
          backward_ ? kernels_.softmax_row_backward(first + o, second + o, out + o, s_.classes, log_)
                    : kernels_.softmax_row(first + o, out + o, s_.classes, log_);
        } else {
          backward_ ? kernels_.softmax_columns_backward(first + o, second + o, out + o, s_.classes, s_.inner,
                                                        s_.lanes(unit), log_)
                    : kernels_.softmax_columns(first + o, out + o, s_.classes, s_.inner, s_.lanes(unit), log_);
        }
      }
    });
  }
  std::string describe() const override {
    return describe_kernel("softmax", kernels_.isa, ceil_div(s_.units(), s_.per_task()));
  }

 private:
  SoftmaxShape s_;
  bool log_, backward_;
  const SoftmaxKernels& kernels_ = softmax_kernels();
};

Status make(const OpSpec& spec, bool log, bool backward, std::unique_ptr<Operation>* operation) {
  SpecCheck check(spec, backward ? 2 : 1, 1);
  const Operand& x = check.in(0);
  check.plain(x, backward ? "dy" : "x");
  if (backward) check.like(check.in(1), "y", x);
  check.like(check.out(0), "output", x);
  const int64_t dim = spec.attributes.integer("dim"), rank = int64_t(x.shape.size());
  check.require(dim >= 0 && dim < rank, Code::kOption,
                "dim " + std::to_string(dim) + " is not an axis of " + shape_text(x.shape));
  FOVEA_RETURN_IF_ERROR(check.status());
  SoftmaxShape shape;
  for (int64_t i = 0; i < rank; ++i)
    (i < dim ? shape.outer : i == dim ? shape.classes : shape.inner) *= x.shape[size_t(i)];
  operation->reset(new Softmax(shape, log, backward));
  return {};
}

}  // namespace

Status make_softmax(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  return make(spec, false, false, operation);
}
Status make_logSoftmax(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  return make(spec, true, false, operation);
}
Status make_softmaxBackward(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  return make(spec, false, true, operation);
}
Status make_logSoftmaxBackward(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  return make(spec, true, true, operation);
}

}  // namespace fovea
