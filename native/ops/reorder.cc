// The same logical value in another layout: [N][C][H][W] <-> [N][ceil(C/16)][H][W][16].
#include <cstring>

#include "kernels/layout/layout.h"
#include "ops/check.h"
#include "ops/operations.h"
#include "ops/parallel.h"

namespace fovea {
namespace {

struct Planes {
  int64_t n, c, pixels;
  int64_t channel_blocks() const { return blocks(c); }
};

// Bytes: index tensors of pooling, off the fast road.
void to_blocked_bytes(const uint8_t* plain, int64_t stride, int channels, int64_t pixels, uint8_t* blocked) {
  for (int64_t i = 0; i < pixels; ++i) {
    for (int c = 0; c < kBlock; ++c) blocked[i * kBlock + c] = c < channels ? plain[c * stride + i] : 0;
  }
}
void from_blocked_bytes(const uint8_t* blocked, int64_t stride, int channels, int64_t pixels, uint8_t* plain) {
  for (int c = 0; c < channels; ++c) {
    for (int64_t i = 0; i < pixels; ++i) plain[c * stride + i] = blocked[i * kBlock + c];
  }
}

// T is float (also for int32, whose bits pass through untouched) or uint8_t.
template <class T>
class Reorder : public Operation {
 public:
  using Kernel = void (*)(const T* from, int64_t stride, int channels, int64_t pixels, T* to);

  Reorder(Planes planes, bool to_blocked, Kernel kernel) : planes_(planes), to_blocked_(to_blocked), kernel_(kernel) {
    segments_ = ceil_div(planes.pixels, kSegment);
    per_task_ = units_per_task(std::min(planes.pixels, kSegment) * kBlock);
  }

  Status run(const RunContext& context) const override {
    const T* const x = context.in<T>(0);
    T* const y = context.out<T>(0);
    return for_ranges(context, units(), per_task_, [&](int64_t begin, int64_t end) {
      for (int64_t unit = begin; unit < end; ++unit) move(unit, x, y);
    });
  }
  std::string describe() const override {
    return describe_kernel(to_blocked_ ? "layout to blocked" : "layout to plain", layout_kernels().isa,
                           ceil_div(units(), per_task_));
  }

 private:
  static constexpr int64_t kSegment = 1024;  // pixels: a multiple of the squares that are transposed
  int64_t units() const { return planes_.n * planes_.channel_blocks() * segments_; }

  void move(int64_t unit, const T* x, T* y) const {
    const int64_t from = unit % segments_ * kSegment, block = unit / segments_ % planes_.channel_blocks();
    const int64_t n = unit / segments_ / planes_.channel_blocks();
    const int channels = int(std::min<int64_t>(kBlock, planes_.c - block * kBlock));
    const int64_t pixels = std::min(kSegment, planes_.pixels - from);
    const int64_t plain = (n * planes_.c + block * kBlock) * planes_.pixels + from;
    const int64_t blocked = ((n * planes_.channel_blocks() + block) * planes_.pixels + from) * kBlock;
    const int64_t source = to_blocked_ ? plain : blocked, target = to_blocked_ ? blocked : plain;
    if (planes_.pixels > 1) return kernel_(x + source, planes_.pixels, channels, pixels, y + target);
    std::memcpy(y + target, x + source, size_t(channels) * sizeof(T));  // a pixel's channels lie together in both
    if (to_blocked_) std::memset(static_cast<void*>(y + target + channels), 0, size_t(kBlock - channels) * sizeof(T));
  }

  Planes planes_;
  bool to_blocked_;
  Kernel kernel_;
  int64_t segments_ = 1, per_task_ = 1;
};

// To or from a blocked value that lies in memory as bfloat16, by way of float32 in the first-level cache.
class RoundedReorder : public Operation {
 public:
  RoundedReorder(Planes planes, const Operand& x, const Operand& y)
      : planes_(planes), rounds_(y.dtype == DType::kBfloat16), plain_((rounds_ ? x : y).layout == Layout::kPlain) {
    segments_ = ceil_div(planes.pixels, kSegment);
  }

  Status run(const RunContext& context) const override {
    return for_ranges(context, planes_.n * planes_.channel_blocks() * segments_, units_per_task(kSegment * kBlock),
                      [&](int64_t begin, int64_t end) {
                        for (int64_t unit = begin; unit < end; ++unit) move(unit, context);
                      });
  }
  std::string describe() const override {
    return describe_kernel(rounds_ ? "layout to bf16" : "layout from bf16", layout_kernels().isa,
                           planes_.n * planes_.channel_blocks() * segments_);
  }

 private:
  static constexpr int64_t kSegment = 128;  // pixels: 8 KiB of float32

  void move(int64_t unit, const RunContext& context) const {
    const int64_t from = unit % segments_ * kSegment, plane = unit / segments_;
    const int64_t n = plane / planes_.channel_blocks(), channel = plane % planes_.channel_blocks() * kBlock;
    const int channels = int(std::min<int64_t>(kBlock, planes_.c - channel));
    const int64_t pixels = std::min(kSegment, planes_.pixels - from);
    const int64_t blocked = (plane * planes_.pixels + from) * kBlock;
    const int64_t other = plain_ ? (n * planes_.c + channel) * planes_.pixels + from : blocked;
    alignas(64) float wide[kSegment * kBlock];
    if (rounds_) {
      const float* x = context.in<float>(0) + other;
      if (plain_) layout_kernels().to_blocked(x, planes_.pixels, channels, pixels, wide), x = wide;
      layout_bf16_kernels()->round(x, pixels * kBlock, context.out<Bfloat16>(0) + blocked);
      return;
    }
    float* const y = context.out<float>(0) + other;
    layout_bf16_kernels()->widen(context.in<Bfloat16>(0) + blocked, pixels * kBlock, plain_ ? wide : y);
    if (plain_) layout_kernels().from_blocked(wide, planes_.pixels, channels, pixels, y);
  }

  Planes planes_;
  bool rounds_, plain_;
  int64_t segments_ = 1;
};

}  // namespace

Status make_reorder(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  SpecCheck check(spec, 1, 1);
  const Operand &x = check.in(0), &y = check.out(0);
  check.tensor(x, "x", x.dtype);
  const bool rounded = x.dtype == DType::kBfloat16 || y.dtype == DType::kBfloat16;
  if (rounded) {
    check.tensor(x, "x", image_type(x));
    check.require(x.dtype != y.dtype, Code::kDtype, "one of both is rounded already");
  }
  check.tensor(y, "y", rounded ? image_type(y) : x.dtype);
  check.shape(y, "y", x.shape);
  check.require(x.dtype != DType::kFloat64, Code::kDtype, "float64 has one layout only");
  FOVEA_RETURN_IF_ERROR(check.status());
  const Planes planes{x.shape[0], x.shape[1], x.shape[2] * x.shape[3]};
  if (rounded) {
    operation->reset(new RoundedReorder(planes, x, y));
    return {};
  }
  if (x.layout == y.layout) return make_assign(spec, operation);
  const bool to_blocked = y.layout == Layout::kBlocked;
  if (x.dtype == DType::kUint8) {
    operation->reset(new Reorder<uint8_t>(planes, to_blocked, to_blocked ? to_blocked_bytes : from_blocked_bytes));
  } else {
    const LayoutKernels& kernels = layout_kernels();
    operation->reset(new Reorder<float>(planes, to_blocked, to_blocked ? kernels.to_blocked : kernels.from_blocked));
  }
  return {};
}

}  // namespace fovea
