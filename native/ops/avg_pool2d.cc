// Averages of windows: avgPool2d and adaptiveAvgPool2d, which differ in where the windows lie, and their gradients.
#include "kernels/pool/pool.h"
#include "ops/check.h"
#include "ops/operations.h"
#include "ops/parallel.h"
#include "ops/pool_axis.h"

namespace fovea {
namespace {

constexpr int64_t kMaxImage = int64_t(1) << 25;  // pixels along an axis: lists of them are made
constexpr int64_t kMaxSide = int64_t(1) << 30;

// Window o of `kernel` inputs, cut at the padded image; the divisor counts padding only when `count_pad`
// (torch.nn.AvgPool2d). A window that is all padding averages nothing: 0 / 1.
RangeLists average_ranges(const PoolAxis& axis, bool count_pad) {
  std::vector<int32_t> begin, end;
  std::vector<float> divisor;
  for (int64_t o = 0; o < axis.out; ++o) {
    const int64_t first = o * axis.stride - axis.before, last = std::min(first + axis.kernel, axis.in + axis.after);
    const int64_t from = std::min(std::max<int64_t>(first, 0), axis.in), to = std::max(from, std::min(last, axis.in));
    begin.push_back(int32_t(from)), end.push_back(int32_t(to));
    const int64_t counted = count_pad ? last - first : to - from;
    divisor.push_back(float(std::max<int64_t>(counted, 1)));
  }
  return RangeLists(std::move(begin), std::move(end), std::move(divisor));
}

// Window o holds the inputs floor(o in / out) up to, not including, ceil((o + 1) in / out)
// (torch.nn.AdaptiveAvgPool2d).
RangeLists adaptive_ranges(int64_t in, int64_t out) {
  std::vector<int32_t> begin, end;
  std::vector<float> divisor;
  for (int64_t o = 0; o < out; ++o) {
    begin.push_back(int32_t(o * in / out)), end.push_back(int32_t(ceil_div((o + 1) * in, out)));
    divisor.push_back(float(end.back() - begin.back()));
  }
  return RangeLists(std::move(begin), std::move(end), std::move(divisor));
}

struct Sizes {
  int64_t planes, H, W, P, Q;
  int64_t planes_per_task() const { return units_per_task(std::max(H * W, P * Q) * kBlock); }
};

// X and Y: how images and what their windows give lie in memory.
template <class X, class Y>
class AveragePool : public Operation {
 public:
  AveragePool(const Sizes& sizes, RangeLists rows, RangeLists cols)
      : s_(sizes), rows_(std::move(rows)), cols_(std::move(cols)) {}

  Status run(const RunContext& context) const override {
    const X* const x = context.in<X>(0);
    Y* const y = context.out<Y>(0);
    return for_ranges(context, s_.planes, s_.planes_per_task(), [&](int64_t begin, int64_t end) {
      for (int64_t plane = begin; plane < end; ++plane) {
        kernels_.average(rows_.view(), cols_.view(), int(s_.W), int(s_.P), int(s_.Q), x + plane * s_.H * s_.W * kBlock,
                         y + plane * s_.P * s_.Q * kBlock);
      }
    });
  }
  std::string describe() const override {
    return describe_kernel("pool", kernels_.isa, ceil_div(s_.planes, s_.planes_per_task()));
  }

 private:
  Sizes s_;
  RangeLists rows_, cols_;
  const PoolKernelsOf<X, Y>& kernels_ = pool_kernels_of<X, Y>();
};

template <class X, class Y>
class AveragePoolBackward : public Operation {
 public:
  AveragePoolBackward(const Sizes& sizes, const RangeLists& rows, const RangeLists& cols)
      : s_(sizes), rows_(rows.turned(sizes.H)), cols_(cols.turned(sizes.W)) {}

  Status run(const RunContext& context) const override {
    const Y* const dy = context.in<Y>(0);
    X* const dx = context.out<X>(0);
    return for_ranges(context, s_.planes, s_.planes_per_task(), [&](int64_t begin, int64_t end) {
      for (int64_t plane = begin; plane < end; ++plane) {
        kernels_.average_backward(rows_.view(), cols_.view(), int(s_.H), int(s_.W), int(s_.Q),
                                  dy + plane * s_.P * s_.Q * kBlock, dx + plane * s_.H * s_.W * kBlock);
      }
    });
  }
  std::string describe() const override {
    return describe_kernel("pool", kernels_.isa, ceil_div(s_.planes, s_.planes_per_task()));
  }

 private:
  Sizes s_;
  RangeLists rows_, cols_;
  const PoolKernelsOf<X, Y>& kernels_ = pool_kernels_of<X, Y>();
};

// x is the image's side, y the windows'.
Status read_sizes(SpecCheck& check, const Operand& x, const Operand& y, Sizes* sizes) {
  check.tensor(x, "x", image_type(x));
  check.tensor(y, "y", image_type(y));
  check.require(x.layout == Layout::kBlocked && y.layout == Layout::kBlocked, Code::kShape, "operands must be blocked");
  FOVEA_RETURN_IF_ERROR(check.status());
  check.require(x.shape[0] == y.shape[0] && x.shape[1] == y.shape[1], Code::kShape,
                shape_text(x.shape) + " cannot be pooled to " + shape_text(y.shape));
  *sizes = {x.shape[0] * blocks(x.shape[1]), x.shape[2], x.shape[3], y.shape[2], y.shape[3]};
  for (int64_t side : {sizes->H, sizes->W, sizes->P, sizes->Q}) {
    check.require(side <= kMaxImage, Code::kShape, "the image is too large");
  }
  return check.status();
}

Status read_average(SpecCheck& check, const OpSpec& spec, const Sizes& sizes, RangeLists* rows, RangeLists* cols) {
  const std::vector<int64_t> kernel = spec.attributes.integers("kernelSize", 2),
                             stride = spec.attributes.integers("stride", 2);
  const std::vector<int64_t> padding = spec.attributes.integers("padding", 4);
  const bool count_pad = spec.attributes.integer("countIncludePad") != 0;
  FOVEA_RETURN_IF_ERROR(check.status());
  const PoolAxis axes[2] = {{sizes.H, sizes.P, kernel[0], stride[0], padding[0], padding[1], 1},
                            {sizes.W, sizes.Q, kernel[1], stride[1], padding[2], padding[3], 1}};
  for (const PoolAxis& a : axes) {
    check.require(a.kernel >= 1 && a.kernel <= kMaxSide && a.stride >= 1 && a.stride <= kMaxSide && a.before >= 0 &&
                      a.before <= kMaxSide && a.after >= 0 && a.after <= kMaxSide,
                  Code::kOption, "kernelSize, stride or padding is out of range");
  }
  FOVEA_RETURN_IF_ERROR(check.status());
  *rows = average_ranges(axes[0], count_pad), *cols = average_ranges(axes[1], count_pad);
  return {};
}

}  // namespace

Status make_avgPool2d(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  SpecCheck check(spec, 1, 1);
  Sizes sizes;
  RangeLists rows, cols;
  FOVEA_RETURN_IF_ERROR(read_sizes(check, check.in(0), check.out(0), &sizes));
  FOVEA_RETURN_IF_ERROR(read_average(check, spec, sizes, &rows, &cols));
  make_pool<AveragePool>(check.in(0), check.out(0), operation, sizes, std::move(rows), std::move(cols));
  return {};
}

Status make_avgPool2dBackward(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  SpecCheck check(spec, 1, 1);
  Sizes sizes;
  RangeLists rows, cols;
  FOVEA_RETURN_IF_ERROR(read_sizes(check, check.out(0), check.in(0), &sizes));
  FOVEA_RETURN_IF_ERROR(read_average(check, spec, sizes, &rows, &cols));
  make_pool<AveragePoolBackward>(check.out(0), check.in(0), operation, sizes, rows, cols);
  return {};
}

Status make_adaptiveAvgPool2d(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  SpecCheck check(spec, 1, 1);
  Sizes s;
  FOVEA_RETURN_IF_ERROR(read_sizes(check, check.in(0), check.out(0), &s));
  make_pool<AveragePool>(check.in(0), check.out(0), operation, s, adaptive_ranges(s.H, s.P), adaptive_ranges(s.W, s.Q));
  return {};
}

Status make_adaptiveAvgPool2dBackward(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  SpecCheck check(spec, 1, 1);
  Sizes s;
  FOVEA_RETURN_IF_ERROR(read_sizes(check, check.out(0), check.in(0), &s));
  make_pool<AveragePoolBackward>(check.out(0), check.in(0), operation, s, adaptive_ranges(s.H, s.P),
                                 adaptive_ranges(s.W, s.Q));
  return {};
}

}  // namespace fovea
