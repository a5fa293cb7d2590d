// im2col: [N, C, H, W] -> [N, C R S, P Q], row (c, r, s) holding x[n, c, p sh + r dh - top, q sw + s dw - left] (torch
// unfold). col2im: its adjoint (torch fold): every pixel is the sum of the columns that hold it, in order of (r, s).
#include <cstring>

#include "kernels/eltwise/eltwise.h"
#include "ops/check.h"
#include "ops/operations.h"
#include "ops/parallel.h"

namespace fovea {
namespace {

constexpr int64_t kMaxSide = int64_t(1) << 30;

struct Axis {
  int64_t in, out, kernel, stride, before, dilation;

  // Outputs [first, last) whose tap lies inside the image.
  void inside(int64_t tap, int64_t* first, int64_t* last) const {
    const int64_t shift = tap * dilation - before;  // input = output * stride + shift
    *first = std::min(out, shift >= 0 ? 0 : ceil_div(-shift, stride));
    *last = shift >= in ? *first : std::max(*first, std::min(out, (in - 1 - shift) / stride + 1));
  }
};

struct Columns {
  int64_t planes = 1;  // N * C
  Axis h, w;
  int64_t image() const { return h.in * w.in; }
  int64_t column() const { return h.out * w.out; }
  int64_t taps() const { return h.kernel * w.kernel; }
  int64_t per_task() const { return units_per_task(taps() * column()); }
};

void unfold_plane(const Columns& s, const float* x, float* columns) {
  for (int64_t r = 0; r < s.h.kernel; ++r) {
    int64_t p0, p1;
    s.h.inside(r, &p0, &p1);
    for (int64_t t = 0; t < s.w.kernel; ++t, columns += s.column()) {
      int64_t q0, q1;
      s.w.inside(t, &q0, &q1);
      std::fill(columns, columns + p0 * s.w.out, 0.0f);
      std::fill(columns + p1 * s.w.out, columns + s.column(), 0.0f);
      for (int64_t p = p0; p < p1; ++p) {
        const float* const row = x + (p * s.h.stride + r * s.h.dilation - s.h.before) * s.w.in;
        const int64_t shift = t * s.w.dilation - s.w.before;
        float* const out = columns + p * s.w.out;
        std::fill(out, out + q0, 0.0f);
        if (s.w.stride == 1 && q1 > q0) {
          std::memcpy(out + q0, row + q0 + shift, size_t(q1 - q0) * sizeof(float));
        } else {
          for (int64_t q = q0; q < q1; ++q) out[q] = row[q * s.w.stride + shift];
        }
        std::fill(out + q1, out + s.w.out, 0.0f);
      }
    }
  }
}

void fold_plane(const Columns& s, const EltwiseKernels& kernels, const float* columns, float* x) {
  std::fill(x, x + s.image(), 0.0f);
  for (int64_t r = 0; r < s.h.kernel; ++r) {
    int64_t p0, p1;
    s.h.inside(r, &p0, &p1);
    for (int64_t t = 0; t < s.w.kernel; ++t, columns += s.column()) {
      int64_t q0, q1;
      s.w.inside(t, &q0, &q1);
      for (int64_t p = p0; p < p1 && q1 > q0; ++p) {
        float* const row = x + (p * s.h.stride + r * s.h.dilation - s.h.before) * s.w.in;
        const int64_t shift = t * s.w.dilation - s.w.before;
        const float* const in = columns + p * s.w.out;
        if (s.w.stride == 1) {
          kernels.accumulate(in + q0, row + q0 + shift, q1 - q0);
        } else {
          for (int64_t q = q0; q < q1; ++q) row[q * s.w.stride + shift] += in[q];
        }
      }
    }
  }
}

class Im2col : public Operation {
 public:
  Im2col(const Columns& columns, bool fold) : s_(columns), fold_(fold) {}

  Status run(const RunContext& context) const override {
    const float* const x = context.in<float>(0);
    float* const y = context.out<float>(0);
    const int64_t columns = s_.taps() * s_.column();
    return for_ranges(context, s_.planes, s_.per_task(), [&](int64_t begin, int64_t end) {
      for (int64_t plane = begin; plane < end; ++plane) {
        if (fold_) {
          fold_plane(s_, kernels_, x + plane * columns, y + plane * s_.image());
        } else {
          unfold_plane(s_, x + plane * s_.image(), y + plane * columns);
        }
      }
    });
  }
  std::string describe() const override {
    return describe_kernel("eltwise", kernels_.isa, ceil_div(s_.planes, s_.per_task()));
  }

 private:
  Columns s_;
  bool fold_;
  const EltwiseKernels& kernels_ = eltwise_kernels();
};

Status make(const OpSpec& spec, bool fold, std::unique_ptr<Operation>* operation) {
  SpecCheck check(spec, 1, 1);
  const Operand &image = fold ? check.out(0) : check.in(0), &columns = fold ? check.in(0) : check.out(0);
  check.plain(image, "image");
  check.plain(columns, "columns");
  const std::vector<int64_t> kernel = spec.attributes.integers("kernelSize", 2),
                             stride = spec.attributes.integers("stride", 2);
  const std::vector<int64_t> padding = spec.attributes.integers("padding", 4),
                             dilation = spec.attributes.integers("dilation", 2);
  check.require(image.shape.size() == 4, Code::kShape, "the image must have 4 axes, got " + shape_text(image.shape));
  FOVEA_RETURN_IF_ERROR(check.status());
  Axis axes[2];
  for (size_t i = 0; i < 2; ++i) {
    const int64_t in = image.shape[2 + i], padded = in + padding[2 * i] + padding[2 * i + 1];
    check.require(in <= kMaxSide && kernel[i] >= 1 && kernel[i] <= kMaxSide && stride[i] >= 1 &&
                      stride[i] <= kMaxSide && dilation[i] >= 1 && dilation[i] <= kMaxSide && padding[2 * i] >= 0 &&
                      padding[2 * i] <= kMaxSide && padding[2 * i + 1] >= 0 && padding[2 * i + 1] <= kMaxSide,
                  Code::kOption, "kernelSize, stride, padding or dilation is out of range");
    FOVEA_RETURN_IF_ERROR(check.status());
    const int64_t reach = dilation[i] * (kernel[i] - 1) + 1;
    check.require(
        reach <= padded, Code::kShape,
        "the kernel reaches over " + std::to_string(reach) + " of " + std::to_string(padded) + " padded pixels");
    axes[i] = {in, (padded - reach) / stride[i] + 1, kernel[i], stride[i], padding[2 * i], dilation[i]};
  }
  FOVEA_RETURN_IF_ERROR(check.status());
  const Columns plan{image.shape[0] * image.shape[1], axes[0], axes[1]};
  // Sizes below 2^31 each: their products fit, and are compared before they are multiplied with the channels.
  check.require(plan.taps() <= count(columns.shape) && plan.column() <= count(columns.shape), Code::kShape,
                "columns have shape " + shape_text(columns.shape));
  FOVEA_RETURN_IF_ERROR(check.status());
  check.shape(columns, "columns", {image.shape[0], image.shape[1] * plan.taps(), plan.column()});
  FOVEA_RETURN_IF_ERROR(check.status());
  operation->reset(new Im2col(plan, fold));
  return {};
}

}  // namespace

Status make_im2col(const OpSpec& spec, std::unique_ptr<Operation>* operation) { return make(spec, false, operation); }
Status make_col2im(const OpSpec& spec, std::unique_ptr<Operation>* operation) { return make(spec, true, operation); }

}  // namespace fovea
