// Cross entropy of logits against labels, as torch.nn.CrossEntropyLoss: with t_c = (1 - e) w_y [c = y] + (e / C) w_c,
// loss_i = -sum_c t_c log p_c, 0 where the label is ignored; 'mean' divides their sum by the sum of w_y over the
// others.
#include "kernels/softmax/softmax.h"
#include "ops/check.h"
#include "ops/labels.h"
#include "ops/operations.h"
#include "ops/parallel.h"

namespace fovea {
namespace {

enum class Reduction { kNone, kMean, kSum };

struct LossOptions {
  PixelShape shape;
  int64_t ignored = 0;
  double smoothing = 0;
  Reduction reduction = Reduction::kMean;
  bool weighted = false;

  double at_label(const float* weight, int64_t label) const {
    return (1 - smoothing) * (weight ? double(weight[label]) : 1.0);
  }
  double everywhere(const float* weight, int64_t c) const {
    return smoothing / double(shape.classes) * (weight ? double(weight[c]) : 1.0);
  }
  bool counts(int32_t label) const { return label != ignored && label >= 0 && label < shape.classes; }
  LabelCheck labels(const int32_t* data, const float* weight) const {
    return {data, shape.pixels(), shape.classes, true, ignored, weight};
  }
};

// Largest logit and log of the sum of exponentials relative to it, for each pixel of a unit.
void statistics(const SoftmaxKernels& kernels, const PixelShape& s, const float* x, int lanes, float* top,
                double* log_sum) {
  if (s.inner == 1) return kernels.row_statistics(x, s.classes, top, log_sum);
  kernels.column_statistics(x, s.classes, s.inner, lanes, top, log_sum);
}

class CrossEntropy : public Operation {
 public:
  explicit CrossEntropy(const LossOptions& options) : o_(options) {}

  size_t workspace_bytes() const override {
    return size_t(LabelCheck::parts(o_.shape.pixels())) * sizeof(LabelCheck::Part) +
           size_t(o_.shape.tasks()) * sizeof(double);
  }

  Status run(const RunContext& context) const override {
    const int32_t* const labels = context.in<int32_t>(1);
    const float* const weight = o_.weighted ? context.in<float>(2) : nullptr;
    auto* const parts = reinterpret_cast<LabelCheck::Part*>(context.workspace);
    double* const sums = reinterpret_cast<double*>(parts + LabelCheck::parts(o_.shape.pixels()));
    float* const loss = context.out<float>(0);
    double total_weight = 0;
    FOVEA_RETURN_IF_ERROR(o_.labels(labels, weight).run(context, "crossEntropy", parts, &total_weight));
    const int64_t per_task = o_.shape.per_task();
    FOVEA_RETURN_IF_ERROR(for_ranges(context, o_.shape.units(), per_task, [&](int64_t begin, int64_t end) {
      double sum = 0;
      for (int64_t unit = begin; unit < end; ++unit) sum += unit_loss(unit, context.in<float>(0), labels, weight, loss);
      sums[begin / per_task] = sum;
    }));
    if (o_.reduction == Reduction::kNone) return {};
    double sum = 0;
    for (int64_t task = 0; task < o_.shape.tasks(); ++task) sum += sums[task];
    loss[0] = float(o_.reduction == Reduction::kMean ? sum / total_weight : sum);
    return {};
  }
  std::string describe() const override { return describe_kernel("softmax", kernels_.isa, o_.shape.tasks()); }

 private:
  double unit_loss(int64_t unit, const float* logits, const int32_t* labels, const float* weight, float* loss) const {
    const PixelShape& s = o_.shape;
    const float* const x = logits + s.logit(unit);
    const int lanes = s.lanes(unit);
    const int64_t pixel = s.first_pixel(unit);
    float top[kBlock];
    double log_sum[kBlock], sum = 0;
    statistics(kernels_, s, x, lanes, top, log_sum);
    for (int i = 0; i < lanes; ++i) {
      const int32_t label = labels[pixel + i];
      double own = 0;
      // The difference first: huge logits would swallow the logarithm.
      const auto log_probability = [&](int64_t c) { return double(x[c * s.inner + i]) - double(top[i]) - log_sum[i]; };
      if (o_.counts(label)) {
        const double t = o_.at_label(weight, label);
        if (t != 0) own -= t * log_probability(label);
        for (int64_t c = 0; o_.smoothing != 0 && c < s.classes; ++c) {
          const double smooth = o_.everywhere(weight, c);
          if (smooth != 0) own -= smooth * log_probability(c);
        }
      }
      if (o_.reduction == Reduction::kNone) loss[pixel + i] = float(own);
      sum += own;
    }
    return sum;
  }

  LossOptions o_;
  const SoftmaxKernels& kernels_ = softmax_kernels();
};

// dlogits_c = g (p_c sum(t) - t_c), g = dloss_i, dloss, or dloss / sum of weights.
class CrossEntropyBackward : public Operation {
 public:
  explicit CrossEntropyBackward(const LossOptions& options) : o_(options) {}

  size_t workspace_bytes() const override {
    return size_t(LabelCheck::parts(o_.shape.pixels())) * sizeof(LabelCheck::Part);
  }

  Status run(const RunContext& context) const override {
    const float *const dloss = context.in<float>(0), *const logits = context.in<float>(1);
    const int32_t* const labels = context.in<int32_t>(2);
    const float* const weight = o_.weighted ? context.in<float>(3) : nullptr;
    float* const dlogits = context.out<float>(0);
    double total_weight = 0;
    FOVEA_RETURN_IF_ERROR(o_.labels(labels, weight)
                              .run(context, "crossEntropyBackward",
                                   reinterpret_cast<LabelCheck::Part*>(context.workspace), &total_weight));
    const double divisor = o_.reduction == Reduction::kMean ? total_weight : 1.0;
    double weights = o_.smoothing == 0 ? 0.0 : double(o_.shape.classes);
    if (o_.smoothing != 0 && weight) {
      weights = 0;
      for (int64_t c = 0; c < o_.shape.classes; ++c) weights += double(weight[c]);
    }
    const double smooth_total = o_.smoothing / double(o_.shape.classes) * weights;
    return for_ranges(context, o_.shape.units(), o_.shape.per_task(), [&](int64_t begin, int64_t end) {
      for (int64_t unit = begin; unit < end; ++unit) {
        unit_gradient(unit, dloss, divisor, smooth_total, logits, labels, weight, dlogits);
      }
    });
  }
  std::string describe() const override { return describe_kernel("softmax", kernels_.isa, o_.shape.tasks()); }

 private:
  void unit_gradient(int64_t unit, const float* dloss, double divisor, double smooth_total, const float* logits,
                     const int32_t* labels, const float* weight, float* dlogits) const {
    const PixelShape& s = o_.shape;
    const float* const x = logits + s.logit(unit);
    float* const dx = dlogits + s.logit(unit);
    const int lanes = s.lanes(unit);
    const int64_t pixel = s.first_pixel(unit);
    float top[kBlock], log_sum[kBlock], factor[kBlock];
    double exact[kBlock], g[kBlock];
    int32_t label[kBlock];
    statistics(kernels_, s, x, lanes, top, exact);
    for (int i = 0; i < lanes; ++i) {
      label[i] = labels[pixel + i];
      log_sum[i] = float(exact[i]);
      g[i] = double(dloss[o_.reduction == Reduction::kNone ? pixel + i : 0]) / divisor;
      factor[i] = o_.counts(label[i]) ? float(g[i] * (o_.at_label(weight, label[i]) + smooth_total)) : 0.0f;
    }
    if (s.inner == 1) {
      kernels_.scaled_probabilities(x, top[0], log_sum[0], factor[0], dx, s.classes);
    } else {
      kernels_.scaled_probabilities_columns(x, top, log_sum, factor, dx, s.classes, s.inner, lanes);
    }
    for (int i = 0; i < lanes; ++i) {
      if (!o_.counts(label[i])) {  // also where the logits are not finite
        for (int64_t c = 0; c < s.classes; ++c) dx[c * s.inner + i] = 0;
        continue;
      }
      dx[label[i] * s.inner + i] -= float(g[i] * o_.at_label(weight, label[i]));
      for (int64_t c = 0; o_.smoothing != 0 && c < s.classes; ++c) {
        dx[c * s.inner + i] -= float(g[i] * o_.everywhere(weight, c));
      }
    }
  }

  LossOptions o_;
  const SoftmaxKernels& kernels_ = softmax_kernels();
};

Status read_options(SpecCheck& check, const OpSpec& spec, const Operand& logits, const Operand& labels,
                    const Operand& weight, const Operand& loss, LossOptions* options) {
  check_pixels(check, logits, labels, &options->shape);
  const std::string reduction = spec.attributes.text("reduction");
  options->ignored = spec.attributes.integer("ignoreIndex");
  options->smoothing = spec.attributes.real("labelSmoothing");
  FOVEA_RETURN_IF_ERROR(check.status());
  check.require(reduction == "none" || reduction == "mean" || reduction == "sum", Code::kOption,
                "reduction '" + reduction + "' is not known");
  options->reduction = reduction == "none" ? Reduction::kNone : reduction == "sum" ? Reduction::kSum : Reduction::kMean;
  options->weighted = weight.present;
  check.vector(weight, "weight", logits.shape[1]);
  check.plain(loss, "loss");
  check.shape(loss, "loss", options->reduction == Reduction::kNone ? labels.shape : std::vector<int64_t>{});
  return check.status();
}

}  // namespace

Status make_crossEntropy(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  SpecCheck check(spec, 3, 1);
  LossOptions options;
  FOVEA_RETURN_IF_ERROR(read_options(check, spec, check.in(0), check.in(1), check.in(2), check.out(0), &options));
  operation->reset(new CrossEntropy(options));
  return {};
}

Status make_crossEntropyBackward(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  SpecCheck check(spec, 4, 1);
  LossOptions options;
  FOVEA_RETURN_IF_ERROR(read_options(check, spec, check.in(1), check.in(2), check.in(3), check.in(0), &options));
  check.like(check.out(0), "dlogits", check.in(1));
  FOVEA_RETURN_IF_ERROR(check.status());
  operation->reset(new CrossEntropyBackward(options));
  return {};
}

}  // namespace fovea
