// How many pixels have their largest logit, the first among equals, at their label. A label that is no class is never
// right.
#include "ops/check.h"
#include "ops/labels.h"
#include "ops/operations.h"
#include "ops/parallel.h"

namespace fovea {
namespace {

class CountCorrect : public Operation {
 public:
  explicit CountCorrect(const PixelShape& shape) : s_(shape), per_task_(units_per_task(shape.classes)) {}

  size_t workspace_bytes() const override { return size_t(tasks()) * sizeof(int64_t); }

  Status run(const RunContext& context) const override {
    const float* const logits = context.in<float>(0);
    const int32_t* const labels = context.in<int32_t>(1);
    int64_t* const parts = reinterpret_cast<int64_t*>(context.workspace);
    FOVEA_RETURN_IF_ERROR(for_ranges(context, s_.pixels(), per_task_, [&](int64_t begin, int64_t end) {
      int64_t correct = 0;
      for (int64_t pixel = begin; pixel < end; ++pixel) {
        correct += arg_max(logits + pixel / s_.inner * s_.classes * s_.inner + pixel % s_.inner) == labels[pixel];
      }
      parts[begin / per_task_] = correct;
    }));
    int64_t correct = 0;
    for (int64_t task = 0; task < tasks(); ++task) correct += parts[task];
    context.out<int32_t>(0)[0] = int32_t(correct);
    return {};
  }
  std::string describe() const override { return describe_kernel("argmax", "scalar", tasks()); }

 private:
  int64_t tasks() const { return ceil_div(s_.pixels(), per_task_); }

  int64_t arg_max(const float* x) const {
    int64_t best = 0;
    for (int64_t c = 1; c < s_.classes; ++c) {
      if (x[c * s_.inner] > x[best * s_.inner]) best = c;
    }
    return best;
  }

  PixelShape s_;
  int64_t per_task_;
};

}  // namespace

Status make_countCorrect(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  SpecCheck check(spec, 2, 1);
  PixelShape shape;
  check_pixels(check, check.in(0), check.in(1), &shape);
  check.plain(check.out(0), "count", DType::kInt32);
  check.shape(check.out(0), "count", {});
  FOVEA_RETURN_IF_ERROR(check.status());
  operation->reset(new CountCorrect(shape));
  return {};
}

}  // namespace fovea
