// y[n,c,p,q] = max of x over the window, padding counts as -Inf; indices hold r * S + s of the maximum.
#include "kernels/pool/pool.h"
#include "ops/check.h"
#include "ops/operations.h"
#include "ops/parallel.h"
#include "ops/pool_axis.h"

namespace fovea {
namespace {

constexpr int64_t kMaxImage = int64_t(1) << 25;  // pixels along an axis: lists of them are made
constexpr int64_t kMaxSide = int64_t(1) << 30;
constexpr int64_t kMaxListed = int64_t(1) << 26;  // entries of a tap list
constexpr int64_t kMaxTaps = int64_t(1) << 24;    // indices pass through float32

struct Windows {
  PoolAxis rows, cols;
  int64_t planes = 0;  // N * ceil(C / 16)
  int64_t channels = 0;
  DType index_type = DType::kUint8;

  // element_bytes: of x and y.
  MaxPoolGeometry geometry(int64_t element_bytes) const {
    const double bytes = double(planes * element_bytes) * double(input_floats() + output_floats());
    const bool close = rows.stride <= rows.kernel && cols.stride <= cols.kernel;
    return {int(rows.in),
            int(cols.in),
            int(rows.out),
            int(cols.out),
            int(rows.kernel),
            int(cols.kernel),
            int(rows.stride),
            int(cols.stride),
            int(rows.before),
            int(cols.before),
            int(rows.dilation),
            int(cols.dilation),
            close && outgrows_caches(bytes)};
  }
  int64_t channel_blocks() const { return blocks(channels); }
  int64_t input_floats() const { return rows.in * cols.in * kBlock; }
  int64_t output_floats() const { return rows.out * cols.out * kBlock; }
  int64_t planes_per_task() const { return units_per_task(input_floats()); }
  // Lanes of this plane that hold channels.
  int lanes(int64_t plane) const {
    return int(std::min<int64_t>(kBlock, channels - plane % channel_blocks() * kBlock));
  }
};

template <class T>
void clear_lanes(T* p, int64_t pixels, int from) {
  for (int64_t i = 0; i < pixels; ++i) std::fill(p + i * kBlock + from, p + (i + 1) * kBlock, T{});
}

// Everything that make() of both directions checks: `x` is the side of the image, `y` that of the windows.
Status read_windows(SpecCheck& check, const OpSpec& spec, const Operand& x, const Operand& y, Windows* windows) {
  check.tensor(x, "x", image_type(x));
  check.tensor(y, "y", image_type(y));
  check.require(x.layout == Layout::kBlocked && y.layout == Layout::kBlocked, Code::kShape, "operands must be blocked");
  const std::vector<int64_t> kernel = spec.attributes.integers("kernelSize", 2),
                             stride = spec.attributes.integers("stride", 2);
  const std::vector<int64_t> padding = spec.attributes.integers("padding", 4),
                             dilation = spec.attributes.integers("dilation", 2);
  FOVEA_RETURN_IF_ERROR(check.status());
  check.require(x.shape[0] == y.shape[0] && x.shape[1] == y.shape[1], Code::kShape,
                shape_text(x.shape) + " cannot be pooled to " + shape_text(y.shape));
  const auto axis = [&](size_t i) {
    return PoolAxis{x.shape[2 + i], y.shape[2 + i],     kernel[i],  stride[i],
                    padding[2 * i], padding[2 * i + 1], dilation[i]};
  };
  *windows = Windows{axis(0), axis(1), x.shape[0] * blocks(x.shape[1]), x.shape[1], DType::kUint8};
  for (const PoolAxis& a : {windows->rows, windows->cols}) {
    check.require(a.in <= kMaxImage && a.out <= kMaxImage, Code::kShape, "the image is too large");
    check.require(a.kernel >= 1 && a.kernel <= kMaxTaps && a.stride >= 1 && a.stride <= kMaxSide && a.dilation >= 1 &&
                      a.dilation <= kMaxSide && a.before >= 0 && a.before <= kMaxSide && a.after >= 0 &&
                      a.after <= kMaxSide,
                  Code::kOption, "kernelSize, stride, padding or dilation is out of range");
    if (check.ok()) {
      check.require((a.out - 1) * a.stride <= kMaxSide && (a.kernel - 1) * a.dilation <= kMaxSide &&
                        a.out * a.kernel <= kMaxListed,
                    Code::kShape, "the windows reach too far");
    }
  }
  FOVEA_RETURN_IF_ERROR(check.status());
  const int64_t taps = windows->rows.kernel * windows->cols.kernel;
  check.require(taps < kMaxTaps, Code::kOption, "the window has too many elements");
  windows->index_type = taps <= 256 ? DType::kUint8 : DType::kInt32;
  return check.status();
}

// X and Y: how images and what their windows give lie in memory.
template <class X, class Y>
class MaxPool2d : public Operation {
 public:
  MaxPool2d(const Windows& windows, bool with_indices) : windows_(windows), with_indices_(with_indices) {}

  Status run(const RunContext& context) const override {
    return windows_.index_type == DType::kUint8 ? run_as<uint8_t>(context, kernels_.max_u8)
                                                : run_as<int32_t>(context, kernels_.max_i32);
  }
  std::string describe() const override {
    return describe_kernel("pool", kernels_.isa, ceil_div(windows_.planes, windows_.planes_per_task()));
  }

 private:
  template <class Index, class Kernel>
  Status run_as(const RunContext& context, Kernel kernel) const {
    const X* const x = context.in<X>(0);
    Y* const y = context.out<Y>(0);
    Index* const indices = with_indices_ ? context.out<Index>(1) : nullptr;
    const int64_t out = windows_.output_floats();
    return for_ranges(context, windows_.planes, windows_.planes_per_task(), [&](int64_t begin, int64_t end) {
      for (int64_t plane = begin; plane < end; ++plane) {
        Index* const index = indices ? indices + plane * out : nullptr;
        kernel(geometry_, x + plane * windows_.input_floats(), y + plane * out, index);
        const int lanes = windows_.lanes(plane);
        if (lanes == kBlock) continue;
        clear_lanes(y + plane * out, out / kBlock, lanes);
        if (index) clear_lanes(index, out / kBlock, lanes);
      }
    });
  }

  Windows windows_;
  bool with_indices_;
  MaxPoolGeometry geometry_ = windows_.geometry(sizeof(X));
  const PoolKernelsOf<X, Y>& kernels_ = pool_kernels_of<X, Y>();
};

template <class X, class Y>
class MaxPool2dBackward : public Operation {
 public:
  explicit MaxPool2dBackward(const Windows& windows) : windows_(windows), rows_(windows.rows), cols_(windows.cols) {}

  Status run(const RunContext& context) const override {
    return windows_.index_type == DType::kUint8 ? run_as<uint8_t>(context, kernels_.max_backward_u8)
                                                : run_as<int32_t>(context, kernels_.max_backward_i32);
  }
  std::string describe() const override {
    return describe_kernel("pool", kernels_.isa, ceil_div(windows_.planes, windows_.planes_per_task()));
  }

 private:
  template <class Index, class Kernel>
  Status run_as(const RunContext& context, Kernel kernel) const {
    const Y* const dy = context.in<Y>(0);
    const Index* const indices = context.in<Index>(1);
    X* const dx = context.out<X>(0);
    const int64_t in = windows_.input_floats(), out = windows_.output_floats();
    return for_ranges(context, windows_.planes, windows_.planes_per_task(), [&](int64_t begin, int64_t end) {
      for (int64_t plane = begin; plane < end; ++plane) {
        kernel(geometry_, rows_.view(), cols_.view(), dy + plane * out, indices + plane * out, dx + plane * in);
      }
    });
  }

  Windows windows_;
  TapLists rows_, cols_;
  MaxPoolGeometry geometry_ = windows_.geometry(sizeof(X));
  const PoolKernelsOf<X, Y>& kernels_ = pool_kernels_of<X, Y>();
};

}  // namespace

Status make_maxPool2d(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  SpecCheck check(spec, 1, 2);
  const Operand &y = check.out(0), &indices = check.out(1);
  Windows windows;
  FOVEA_RETURN_IF_ERROR(read_windows(check, spec, check.in(0), y, &windows));
  if (indices.present) check.like(indices, "indices", y, windows.index_type);
  FOVEA_RETURN_IF_ERROR(check.status());
  make_pool<MaxPool2d>(check.in(0), y, operation, windows, indices.present);
  return {};
}

Status make_maxPool2dBackward(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  SpecCheck check(spec, 2, 1);
  const Operand &dy = check.in(0), &indices = check.in(1);
  Windows windows;
  FOVEA_RETURN_IF_ERROR(read_windows(check, spec, check.out(0), dy, &windows));
  check.like(indices, "indices", dy, windows.index_type);
  FOVEA_RETURN_IF_ERROR(check.status());
  make_pool<MaxPool2dBackward>(check.out(0), dy, operation, windows);
  return {};
}

}  // namespace fovea
