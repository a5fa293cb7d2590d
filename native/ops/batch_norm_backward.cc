// Batch normalisation, backward. With g = dy where the output was positive (all of dy without a ReLU), M elements per
// channel and x^ = (x - mean) * invStd:
//   dbias = sum g, dweight = sum g x^, dresidual = g,
//   dx = weight invStd (g - sum g / M - x^ sum(g x^) / M) in training, weight invStd g in inference.
// One pass reads for the sums, one more writes dx; where dresidual is wanted the first pass writes it and the second
// reads it instead of dy and y. With both sums given, by the convolution that wrote dy, only the second pass is left.
#include <cmath>

#include "kernels/norm/norm.h"
#include "ops/batch_norm_groups.h"
#include "ops/check.h"
#include "ops/operations.h"
#include "ops/parallel.h"

namespace fovea {
namespace {

struct BackwardOptions {
  bool training, relu;
  double eps;                                        // inference: the last operand is a variance
  bool weight, sums, dx, dweight, dbias, dresidual;  // which operands are there
};

// T is how dy, x, y, dx and dresidual lie in memory.
template <class T>
class BatchNormBackward : public Operation {
 public:
  BatchNormBackward(const NormGroups& groups, const BackwardOptions& options) : groups_(groups), options_(options) {
    needs_sums_ = !options.sums && (options.training || options.dweight || options.dbias || options.dresidual);
    whole_groups_ = !options.sums && group_fits_cache(groups, options.relu && !options.dresidual ? 3 : 2);
    partials_ = size_t(groups.groups() * groups.pieces());
  }

  size_t workspace_bytes() const override {
    return partials_ * sizeof(NormSums) + size_t(groups_.groups()) * sizeof(NormGradient);
  }

  Status run(const RunContext& context) const override {
    NormSums* const partials = reinterpret_cast<NormSums*>(context.workspace);  // [groups][pieces]
    NormGradient* const gradients = reinterpret_cast<NormGradient*>(partials + partials_);
    const int64_t pieces = groups_.pieces(), groups = groups_.groups();
    if (whole_groups_) {
      return for_tasks(context, groups, [&](int64_t group) {
        for (int64_t piece = 0; piece < pieces; ++piece) sum(context, group, piece, partials + group * pieces + piece);
        finish(context, group, partials + group * pieces, gradients + group);
        for (int64_t piece = pieces; piece-- > 0 && options_.dx;) {
          groups_.visit(group, piece, [&](int64_t offset, int64_t pixels, int64_t stride, int lanes) {
            apply(context, gradients[group], offset, pixels, stride, lanes);
          });
        }
      });
    }
    if (needs_sums_) {
      FOVEA_RETURN_IF_ERROR(for_tasks(context, groups * pieces, [&](int64_t task) {
        sum(context, task % groups, task / groups, partials + task % groups * pieces + task / groups);
      }));
    }
    for (int64_t group = 0; group < groups; ++group)
      finish(context, group, partials + group * pieces, gradients + group);
    if (!options_.dx) return {};
    return for_strips(context, groups_, ThreadPool::Order::kBackward,  // what was read last may still be in a cache
                      [&](int64_t group, int64_t offset, int64_t pixels, int64_t stride, int lanes) {
                        apply(context, gradients[group], offset, pixels, stride, lanes);
                      });
  }
  std::string describe() const override {
    return describe_kernel(options_.sums   ? "norm one pass"
                           : whole_groups_ ? "norm in cache"
                                           : "norm",
                           kernels_.isa, whole_groups_ ? groups_.groups() : groups_.strips());
  }

 private:
  // float32, as many lanes as the kernel wants.
  void read_mean(const RunContext& context, int64_t group, float* mean) const {
    std::fill(mean, mean + kBlock, 0.0f);
    const float* const given = context.in<float>(4) + groups_.first_channel(group);
    std::copy(given, given + groups_.channels_of(group), mean);
    if (groups_.one_channel()) std::fill(mean, mean + kBlock, mean[0]);
  }

  double inv_std(const RunContext& context, int64_t c) const {
    const double given = double(context.in<float>(5)[c]);
    return options_.training ? given : 1 / std::sqrt(given + options_.eps);
  }

  void sum(const RunContext& context, int64_t group, int64_t piece, NormSums* sums) const {
    *sums = NormSums{};
    if (!needs_sums_) return;
    const T *const dy = context.in<T>(0), *const x = context.in<T>(1);
    const T* const y = options_.relu ? context.in<T>(2) : nullptr;
    T* const g = options_.dresidual ? context.out<T>(3) : nullptr;
    float mean[kBlock];
    read_mean(context, group, mean);
    groups_.visit(group, piece, [&](int64_t o, int64_t pixels, int64_t stride, int lanes) {
      kernels_.gradient_sums(dy + o, x + o, y ? y + o : nullptr, g ? g + o : nullptr, pixels, stride, lanes, mean,
                             sums);
    });
  }

  void finish(const RunContext& context, int64_t group, const NormSums* partials, NormGradient* gradient) const {
    const float* const weight = options_.weight ? context.in<float>(3) : nullptr;
    const double elements = double(groups_.elements_per_channel());
    *gradient = NormGradient{};
    read_mean(context, group, gradient->mean);
    for (int lane = 0; lane < groups_.channels_of(group); ++lane) {
      double g = 0, gx = 0;
      const int first = groups_.one_channel() ? 0 : lane, last = groups_.one_channel() ? kBlock : lane + 1;
      for (int64_t piece = 0; needs_sums_ && piece < groups_.pieces(); ++piece) {
        for (int i = first; i < last; ++i) g += partials[piece].g[i], gx += partials[piece].gx[i];
      }
      const int64_t c = groups_.first_channel(group) + lane;
      if (options_.sums) {
        g = double(context.in<float>(6)[c]);
        gx = double(context.in<float>(6)[groups_.channels() + c]);
      }
      const double spread = inv_std(context, c);
      if (options_.dweight) context.out<float>(1)[c] = float(gx * spread);
      if (options_.dbias) context.out<float>(2)[c] = float(g);
      gradient->scale[lane] = float((weight ? double(weight[c]) : 1.0) * spread);
      gradient->offset[lane] = float(g / elements);
      gradient->slope[lane] = float(spread * spread * gx / elements);
    }
    if (!groups_.one_channel()) return;
    std::fill(gradient->scale, gradient->scale + kBlock, gradient->scale[0]);
    std::fill(gradient->offset, gradient->offset + kBlock, gradient->offset[0]);
    std::fill(gradient->slope, gradient->slope + kBlock, gradient->slope[0]);
  }

  void apply(const RunContext& context, const NormGradient& gradient, int64_t offset, int64_t pixels, int64_t stride,
             int lanes) const {
    const bool masked = options_.dresidual;  // the first pass left g there
    const T* const g = (masked ? context.out<T>(3) : context.in<T>(0)) + offset;
    const T* const y = options_.relu && !masked ? context.in<T>(2) + offset : nullptr;
    const T* const x = options_.training ? context.in<T>(1) + offset : nullptr;
    kernels_.gradient_apply(g, x, y, context.out<T>(0) + offset, pixels, stride, lanes, gradient);
  }

  NormGroups groups_;
  BackwardOptions options_;
  bool needs_sums_ = true, whole_groups_ = false;
  size_t partials_ = 0;
  const NormKernelsOf<T>& kernels_ = norm_kernels_of<T>();
};

Status make_backward(const OpSpec& spec, bool training, std::unique_ptr<Operation>* operation) {
  SpecCheck check(spec, training ? 7 : 6, 4);
  const Operand& dy = check.in(0);
  check.tensor(dy, "dy", image_type(dy));
  check.require(dy.shape.size() >= 2, Code::kShape, "dy must have at least 2 axes, got " + shape_text(dy.shape));
  check.like(check.in(1), "x", dy, dy.dtype);
  const std::string activation = spec.attributes.text("activation");
  check.require(activation == "none" || activation == "relu", Code::kOption,
                "activation '" + activation + "' is not known");
  if (activation == "relu") check.like(check.in(2), "y", dy, dy.dtype);
  const double eps = training ? 0.0 : spec.attributes.real("eps");
  FOVEA_RETURN_IF_ERROR(check.status());
  const int64_t channels = dy.shape[1];
  check.vector(check.in(3), "weight", channels);
  check.require(check.in(4).present && check.in(5).present, Code::kOption, "the statistics are missing");
  check.vector(check.in(4), "mean", channels);
  check.vector(check.in(5), training ? "invStd" : "runningVar", channels);
  if (check.out(0).present) check.like(check.out(0), "dx", dy, dy.dtype);
  check.vector(check.out(1), "dweight", channels);
  check.vector(check.out(2), "dbias", channels);
  if (check.out(3).present) check.like(check.out(3), "dresidual", dy, dy.dtype);
  const Operand& sums = check.in(6);
  if (sums.present) {
    check.plain(sums, "sums");
    check.shape(sums, "sums", {2, channels});
    check.require(activation == "none" && !check.out(3).present, Code::kOption,
                  "sums are those of a gradient that was masked before");
  }
  FOVEA_RETURN_IF_ERROR(check.status());
  const BackwardOptions options{training,
                                activation == "relu",
                                eps,
                                check.in(3).present,
                                sums.present,
                                check.out(0).present,
                                check.out(1).present,
                                check.out(2).present,
                                check.out(3).present};
  const NormGroups groups(dy);
  if (dy.dtype == DType::kBfloat16)
    operation->reset(new BatchNormBackward<Bfloat16>(groups, options));
  else
    operation->reset(new BatchNormBackward<float>(groups, options));
  return {};
}

}  // namespace

Status make_batchNormTrainBackward(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  return make_backward(spec, true, operation);
}
Status make_batchNormInferBackward(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  return make_backward(spec, false, operation);
}

}  // namespace fovea
