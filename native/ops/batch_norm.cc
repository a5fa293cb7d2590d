// Batch normalisation, forward: y = act((x - mean) * invStd * weight + bias + residual) over each channel.
// Training reads x once for the statistics and once more to normalise, which is from the cache when a channel group is
// small; or only once, when the convolution that wrote x has the statistics. With a ReLU it can leave the bits of y >
// 0.
#include <cmath>

#include "kernels/norm/norm.h"
#include "ops/batch_norm_groups.h"
#include "ops/check.h"
#include "ops/operations.h"
#include "ops/parallel.h"

namespace fovea {
namespace {

// Chan's merge of two sets of numbers, as in the kernel.
struct Moments {
  double count = 0, mean = 0, m2 = 0;
  void merge(double n, double other_mean, double other_m2) {
    if (n == 0) return;
    const double total = count + n, delta = other_mean - mean;
    mean += delta * (n / total);
    m2 += other_m2 + delta * delta * (count * n / total);
    count = total;
  }
};

struct Parameters {
  const float *weight, *bias;  // null: ones, zeros
  double w(int64_t c) const { return weight ? double(weight[c]) : 1.0; }
  double b(int64_t c) const { return bias ? double(bias[c]) : 0.0; }
};

// Lanes that hold no channel get zeros, so that zeros stay zeros.
void set_affine(NormAffine* affine, int lane, double mean, double inv_std, double weight, double bias) {
  const float rounded = float(mean), scale = float(inv_std * weight);
  affine->mean[lane] = rounded;
  affine->scale[lane] = scale;
  affine->shift[lane] = float(bias - (mean - double(rounded)) * double(scale));
}

void spread_lane(NormAffine* affine) {
  std::fill(affine->mean, affine->mean + kBlock, affine->mean[0]);
  std::fill(affine->scale, affine->scale + kBlock, affine->scale[0]);
  std::fill(affine->shift, affine->shift + kBlock, affine->shift[0]);
}

struct NormOptions {
  double eps = 0;
  bool relu = false, weight = false, bias = false, residual = false;  // is there a ReLU, and which operands
  bool mask = false;
};

// T is how x, y and the residual lie in memory.
template <class T>
class BatchNorm : public Operation {
 public:
  BatchNorm(const NormGroups& groups, const NormOptions& options) : groups_(groups), shared_(options) {}

 protected:
  Parameters parameters(const RunContext& context) const {
    return {shared_.weight ? context.in<float>(1) : nullptr, shared_.bias ? context.in<float>(2) : nullptr};
  }

  void normalize(const RunContext& context, const NormAffine& affine, int64_t offset, int64_t pixels, int64_t stride,
                 int lanes) const {
    const T* const residual = shared_.residual ? context.in<T>(5) + offset : nullptr;
    uint8_t* const mask = shared_.mask && groups_.blocked() ? context.out<uint8_t>(5) + offset / kBlock * 2 : nullptr;
    kernels_.normalize(context.in<T>(0) + offset, residual, context.out<T>(0) + offset, pixels, stride, lanes, affine,
                       shared_.relu, mask);
  }

  Status normalize_all(const RunContext& context, const NormAffine* affines, ThreadPool::Order order) const {
    return for_strips(context, groups_, order,
                      [&](int64_t group, int64_t offset, int64_t pixels, int64_t stride, int lanes) {
                        normalize(context, affines[group], offset, pixels, stride, lanes);
                      });
  }

  NormGroups groups_;
  NormOptions shared_;
  const NormKernelsOf<T>& kernels_ = norm_kernels_of<T>();
};

struct TrainOptions {
  double momentum;
  bool old_mean, old_var, statistics, mean, inv_std, new_mean, new_var;  // which operands are there
};

template <class T>
class BatchNormTrain : public BatchNorm<T> {
  using BatchNorm<T>::groups_;
  using BatchNorm<T>::shared_;
  using BatchNorm<T>::kernels_;
  using BatchNorm<T>::normalize;
  using BatchNorm<T>::normalize_all;
  using BatchNorm<T>::parameters;

 public:
  BatchNormTrain(const NormGroups& groups, const NormOptions& shared, const TrainOptions& options)
      : BatchNorm<T>(groups, shared), options_(options) {
    whole_groups_ = !options.statistics && group_fits_cache(groups, shared.residual ? 3 : 2);
    partials_ = options.statistics ? 0 : size_t(groups.groups() * groups.pieces());
  }

  size_t workspace_bytes() const override {
    return partials_ * sizeof(NormMoments) + size_t(groups_.groups()) * sizeof(NormAffine);
  }

  Status run(const RunContext& context) const override {
    NormMoments* const partials = reinterpret_cast<NormMoments*>(context.workspace);  // [groups][pieces]
    NormAffine* const affines = reinterpret_cast<NormAffine*>(partials + partials_);
    FOVEA_RETURN_IF_ERROR(run_passes(context, partials, affines));
    return shared_.mask && !groups_.blocked() ? plain_mask(context) : Status();
  }
  std::string describe() const override {
    return describe_kernel(options_.statistics ? "norm one pass"
                           : whole_groups_     ? "norm in cache"
                                               : "norm",
                           kernels_.isa, whole_groups_ ? groups_.groups() : groups_.strips());
  }

 private:
  Status run_passes(const RunContext& context, NormMoments* partials, NormAffine* affines) const {
    const int64_t pieces = groups_.pieces(), groups = groups_.groups();
    if (whole_groups_) {
      return for_tasks(context, groups, [&](int64_t group) {
        for (int64_t piece = 0; piece < pieces; ++piece)
          measure(context, group, piece, partials + group * pieces + piece);
        finish(context, group, partials + group * pieces, affines + group);
        for (int64_t piece = pieces; piece-- > 0;) {
          groups_.visit(group, piece, [&](int64_t offset, int64_t pixels, int64_t stride, int lanes) {
            normalize(context, affines[group], offset, pixels, stride, lanes);
          });
        }
      });
    }
    if (!options_.statistics) {
      FOVEA_RETURN_IF_ERROR(for_tasks(context, groups * pieces, [&](int64_t task) {
        measure(context, task % groups, task / groups, partials + task % groups * pieces + task / groups);
      }));
    }
    for (int64_t group = 0; group < groups; ++group) finish(context, group, partials + group * pieces, affines + group);
    return normalize_all(context, affines, ThreadPool::Order::kBackward);  // what was read last may be in a cache
  }

  void measure(const RunContext& context, int64_t group, int64_t piece, NormMoments* moments) const {
    const T* const x = context.in<T>(0);
    *moments = NormMoments{};
    groups_.visit(group, piece, [&](int64_t offset, int64_t pixels, int64_t stride, int lanes) {
      kernels_.moments(x + offset, pixels, stride, lanes, moments);
    });
  }

  Moments given_moments(const RunContext& context, int64_t c) const {
    const double elements = double(groups_.elements_per_channel());
    return {elements, double(context.in<float>(6)[c]), double(context.in<float>(7)[c]) * elements};
  }

  // All pieces of a group, in order.
  Moments merged(const NormMoments* partials, int lane) const {
    Moments all;
    const int first = groups_.one_channel() ? 0 : lane, last = groups_.one_channel() ? kBlock : lane + 1;
    for (int64_t piece = 0; piece < groups_.pieces(); ++piece) {
      for (int i = first; i < last; ++i)
        all.merge(partials[piece].count[i], partials[piece].mean[i], partials[piece].m2[i]);
    }
    return all;
  }

  // The bits of y > 0 where channels do not lie side by side: for completeness, since convolutions write blocks.
  Status plain_mask(const RunContext& context) const {
    const int64_t channels = groups_.channels(), channel_blocks = blocks(channels), pixels = groups_.pixels();
    const float* const y = context.out<float>(0);  // only blocked values are bfloat16
    uint8_t* const mask = context.out<uint8_t>(5);
    return for_tasks(context, groups_.images() * channel_blocks, [&](int64_t task) {
      const int64_t image = task / channel_blocks, first = task % channel_blocks * kBlock;
      const float* const from = y + (image * channels + first) * pixels;
      uint8_t* const to = mask + task * pixels * 2;
      std::fill(to, to + pixels * 2, uint8_t(0));
      for (int64_t lane = 0; lane < std::min<int64_t>(kBlock, channels - first); ++lane) {
        for (int64_t i = 0; i < pixels; ++i)
          to[i * 2 + lane / 8] |= uint8_t(from[lane * pixels + i] > 0 ? 1u << (lane % 8) : 0u);
      }
    });
  }

  // Writes the statistics of a group, and works out its affine map.
  void finish(const RunContext& context, int64_t group, const NormMoments* partials, NormAffine* affine) const {
    const Parameters given = parameters(context);
    *affine = NormAffine{};
    for (int lane = 0; lane < groups_.channels_of(group); ++lane) {
      const int64_t c = groups_.first_channel(group) + lane;
      const Moments all = options_.statistics ? given_moments(context, c) : merged(partials, lane);
      const double inv_std = 1 / std::sqrt(all.m2 / all.count + shared_.eps);
      set_affine(affine, lane, all.mean, inv_std, given.w(c), given.b(c));
      if (options_.mean) context.out<float>(1)[c] = float(all.mean);
      if (options_.inv_std) context.out<float>(2)[c] = float(inv_std);
      update_running(context, c, all);
    }
    if (groups_.one_channel()) spread_lane(affine);
  }

  // The running variance is the unbiased one.
  void update_running(const RunContext& context, int64_t c, const Moments& all) const {
    const double keep = 1 - options_.momentum;
    if (options_.new_mean) {
      const double old = options_.old_mean ? double(context.in<float>(3)[c]) : 0.0;
      context.out<float>(3)[c] = float(keep * old + options_.momentum * all.mean);
    }
    if (options_.new_var) {
      const double old = options_.old_var ? double(context.in<float>(4)[c]) : 1.0;
      context.out<float>(4)[c] = float(keep * old + options_.momentum * (all.m2 / (all.count - 1)));
    }
  }

  TrainOptions options_;
  bool whole_groups_ = false;
  size_t partials_ = 0;
};

template <class T>
class BatchNormInfer : public BatchNorm<T> {
  using BatchNorm<T>::groups_;
  using BatchNorm<T>::shared_;
  using BatchNorm<T>::kernels_;
  using BatchNorm<T>::normalize_all;
  using BatchNorm<T>::parameters;

 public:
  using BatchNorm<T>::BatchNorm;

  size_t workspace_bytes() const override { return size_t(groups_.groups()) * sizeof(NormAffine); }

  Status run(const RunContext& context) const override {
    const float *const mean = context.in<float>(3), *const variance = context.in<float>(4);
    NormAffine* const affines = reinterpret_cast<NormAffine*>(context.workspace);
    const Parameters given = parameters(context);
    const int64_t groups = groups_.groups();
    for (int64_t group = 0; group < groups; ++group) {
      affines[group] = NormAffine{};
      for (int lane = 0; lane < groups_.channels_of(group); ++lane) {
        const int64_t c = groups_.first_channel(group) + lane;
        set_affine(affines + group, lane, double(mean[c]), 1 / std::sqrt(double(variance[c]) + shared_.eps), given.w(c),
                   given.b(c));
      }
      if (groups_.one_channel()) spread_lane(affines + group);
    }
    return normalize_all(context, affines, ThreadPool::Order::kForward);
  }
  std::string describe() const override { return describe_kernel("norm", kernels_.isa, groups_.strips()); }
};

// What training and inference share.
NormOptions check_common(SpecCheck& check, const OpSpec& spec) {
  const Operand &x = check.in(0), &residual = check.in(5);
  check.tensor(x, "x", image_type(x));
  check.require(x.shape.size() >= 2, Code::kShape, "x must have at least 2 axes, got " + shape_text(x.shape));
  check.like(check.out(0), "y", x, x.dtype);
  if (residual.present) check.like(residual, "residual", x, x.dtype);
  const std::string activation = spec.attributes.text("activation");
  const double eps = spec.attributes.real("eps");
  check.require(activation == "none" || activation == "relu", Code::kOption,
                "activation '" + activation + "' is not known");
  if (check.ok()) {
    const char* const names[] = {"", "weight", "bias", "runningMean", "runningVar"};
    for (size_t i = 1; i <= 4; ++i) check.vector(check.in(i), names[i], x.shape[1]);
  }
  return {eps, activation == "relu", check.in(1).present, check.in(2).present, residual.present, check.out(5).present};
}

// [N, ceil(C / 16), …, 2]: the bits of 16 channels for each pixel, in pairs of bytes.
void check_mask(SpecCheck& check, const Operand& mask, const std::vector<int64_t>& x, bool relu) {
  std::vector<int64_t> shape = x;
  shape[1] = blocks(x[1]);
  shape.push_back(2);
  check.plain(mask, "mask", DType::kUint8);
  check.shape(mask, "mask", shape);
  check.require(relu, Code::kOption, "a mask needs a ReLU");
}

}  // namespace

Status make_batchNormTrain(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  SpecCheck check(spec, 8, 6);
  const NormOptions shared = check_common(check, spec);
  const double momentum = spec.attributes.real("momentum");
  FOVEA_RETURN_IF_ERROR(check.status());
  const Operand& x = check.in(0);
  const char* const names[] = {"", "mean", "invStd", "newRunningMean", "newRunningVar"};
  for (size_t i = 1; i <= 4; ++i) check.vector(check.out(i), names[i], x.shape[1]);
  check.require(check.in(6).present == check.in(7).present, Code::kOption, "mean and variance come together");
  check.vector(check.in(6), "mean", x.shape[1]);
  check.vector(check.in(7), "variance", x.shape[1]);
  if (check.out(5).present) check_mask(check, check.out(5), x.shape, shared.relu);
  FOVEA_RETURN_IF_ERROR(check.status());
  const TrainOptions options{momentum,
                             check.in(3).present,
                             check.in(4).present,
                             check.in(6).present,
                             check.out(1).present,
                             check.out(2).present,
                             check.out(3).present,
                             check.out(4).present};
  const NormGroups groups(x);
  if (x.dtype == DType::kBfloat16)
    operation->reset(new BatchNormTrain<Bfloat16>(groups, shared, options));
  else
    operation->reset(new BatchNormTrain<float>(groups, shared, options));
  return {};
}

Status make_batchNormInfer(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  SpecCheck check(spec, 6, 1);
  const NormOptions shared = check_common(check, spec);
  check.require(check.in(3).present && check.in(4).present, Code::kOption, "runningMean or runningVar is missing");
  FOVEA_RETURN_IF_ERROR(check.status());
  const Operand& x = check.in(0);
  const NormGroups groups(x);
  if (x.dtype == DType::kBfloat16)
    operation->reset(new BatchNormInfer<Bfloat16>(groups, shared));
  else
    operation->reset(new BatchNormInfer<float>(groups, shared));
  return {};
}

}  // namespace fovea
