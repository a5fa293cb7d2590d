// gather: samples of a data set by index, converted to float32 and normalised per channel: y = (x * scale - mean) /
// std, each operation rounded to float32; an absent mean is 0, an absent std 1. normalize: the same on a whole batch.
// gatherLabels: labels by index.
#include "kernels/eltwise/eltwise.h"
#include "ops/check.h"
#include "ops/operations.h"
#include "ops/parallel.h"

namespace fovea {
namespace {

Status check_indices(const char* op, const int32_t* indices, int64_t n, int64_t length) {
  for (int64_t i = 0; i < n; ++i) {
    if (indices[i] >= 0 && indices[i] < length) continue;
    return {Code::kData, std::string(op) + ": index " + std::to_string(indices[i]) + " at " + std::to_string(i) +
                             " is outside 0.." + std::to_string(length - 1)};
  }
  return {};
}

struct Samples {
  int64_t available = 1, taken = 1, channels = 1, pixels = 1;
  DType dtype = DType::kFloat32;
  float scale = 1;
  bool indexed = false, mean = false, std = false;

  int64_t size() const { return channels * pixels; }
  int64_t per_task() const { return units_per_task(pixels); }  // a unit is one channel of one sample
};

class Gather : public Operation {
 public:
  explicit Gather(const Samples& samples) : s_(samples) {}

  Status run(const RunContext& context) const override {
    const int32_t* const indices = s_.indexed ? context.in<int32_t>(1) : nullptr;
    const size_t first = s_.indexed ? 2 : 1;
    const float* const mean = s_.mean ? context.in<float>(first) : nullptr;
    const float* const std = s_.std ? context.in<float>(first + 1) : nullptr;
    float* const y = context.out<float>(0);
    if (indices) FOVEA_RETURN_IF_ERROR(check_indices("gather", indices, s_.taken, s_.available));
    return for_ranges(context, s_.taken * s_.channels, s_.per_task(), [&](int64_t begin, int64_t end) {
      for (int64_t unit = begin; unit < end; ++unit) {
        const int64_t n = unit / s_.channels, c = unit % s_.channels;
        int64_t sample = indices ? indices[n] : n;
        if (sample < 0 || sample >= s_.available) sample = 0;  // the caller's array has changed since it was checked
        const int64_t at = (sample * s_.channels + c) * s_.pixels;
        const float m = mean ? mean[c] : 0.0f, d = std ? std[c] : 1.0f;
        if (s_.dtype == DType::kUint8) {
          kernels_.normalize_u8(context.in<uint8_t>(0) + at, s_.scale, m, d, y + unit * s_.pixels, s_.pixels);
        } else {
          kernels_.normalize_f32(context.in<float>(0) + at, s_.scale, m, d, y + unit * s_.pixels, s_.pixels);
        }
      }
    });
  }
  std::string describe() const override {
    return describe_kernel("eltwise", kernels_.isa, ceil_div(s_.taken * s_.channels, s_.per_task()));
  }

 private:
  Samples s_;
  const EltwiseKernels& kernels_ = eltwise_kernels();
};

class GatherLabels : public Operation {
 public:
  GatherLabels(int64_t available, int64_t taken) : available_(available), taken_(taken) {}

  Status run(const RunContext& context) const override {
    const int32_t *const labels = context.in<int32_t>(0), *const indices = context.in<int32_t>(1);
    int32_t* const y = context.out<int32_t>(0);
    FOVEA_RETURN_IF_ERROR(check_indices("gatherLabels", indices, taken_, available_));
    for (int64_t n = 0; n < taken_; ++n) {
      const int32_t index = indices[n];
      y[n] = labels[index >= 0 && index < available_ ? index : 0];
    }
    return {};
  }
  std::string describe() const override { return describe_kernel("gather", "scalar", 1); }

 private:
  int64_t available_, taken_;
};

Status make_samples(const OpSpec& spec, bool indexed, std::unique_ptr<Operation>* operation) {
  SpecCheck check(spec, indexed ? 4 : 3, 1);
  const Operand &source = check.in(0), &mean = check.in(indexed ? 2 : 1), &std = check.in(indexed ? 3 : 2);
  check.plain(source, "source", source.dtype);
  check.require(source.dtype == DType::kUint8 || source.dtype == DType::kFloat32, Code::kDtype,
                "source must be uint8 or float32");
  check.require(!source.shape.empty(), Code::kShape, "source has no axis to take samples from");
  check.plain(check.out(0), "output");
  const float scale = float(spec.attributes.real("scale"));
  FOVEA_RETURN_IF_ERROR(check.status());
  std::vector<int64_t> expected = source.shape;
  if (indexed) {
    const Operand& indices = check.in(1);
    check.plain(indices, "indices", DType::kInt32);
    check.require(indices.shape.size() == 1, Code::kShape,
                  "indices must have 1 axis, got " + shape_text(indices.shape));
    FOVEA_RETURN_IF_ERROR(check.status());
    expected[0] = indices.shape[0];
  }
  check.shape(check.out(0), "output", expected);
  const int64_t channels = source.shape.size() > 1 ? source.shape[1] : 1;
  check.vector(mean, "mean", channels);
  check.vector(std, "std", channels);
  FOVEA_RETURN_IF_ERROR(check.status());
  const Samples samples{source.shape[0], expected[0],  channels,   count(source.shape, 2), source.dtype, scale,
                        indexed,         mean.present, std.present};
  operation->reset(new Gather(samples));
  return {};
}

}  // namespace

Status make_gather(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  return make_samples(spec, true, operation);
}
Status make_normalize(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  return make_samples(spec, false, operation);
}

Status make_gatherLabels(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  SpecCheck check(spec, 2, 1);
  const Operand &labels = check.in(0), &indices = check.in(1);
  check.plain(labels, "labels", DType::kInt32);
  check.plain(indices, "indices", DType::kInt32);
  check.require(labels.shape.size() == 1 && indices.shape.size() == 1, Code::kShape,
                "labels and indices must have 1 axis");
  check.plain(check.out(0), "output", DType::kInt32);
  check.shape(check.out(0), "output", indices.shape);
  FOVEA_RETURN_IF_ERROR(check.status());
  operation->reset(new GatherLabels(labels.shape[0], indices.shape[0]));
  return {};
}

}  // namespace fovea
