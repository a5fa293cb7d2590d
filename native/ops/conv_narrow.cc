#include "ops/conv_narrow.h"

#include <algorithm>

#include "kernels/layout/layout.h"
#include "kernels/planes/planes.h"
#include "ops/conv_pack.h"
#include "ops/parallel.h"
#include "runtime/values.h"

namespace fovea {

namespace {

constexpr int64_t kBandBytes = 384 * 1024;  // of planes, that stay in a core's L2
constexpr int64_t kMostBytes = 16 << 20;    // of planes, for one row
constexpr int64_t kTasks = 16;
constexpr int64_t kSum = 256;  // products that one register adds up

class ConvNarrow : public Operation {
 public:
  ConvNarrow(const OpSpec& spec, const ConvGeometry& g, const Axis& rows, const Axis& columns,
             std::unique_ptr<Operation> exact)
      : g_(g),
        dy_type_(spec.inputs[0].dtype),
        dx_type_(spec.outputs[0].dtype),
        rows_(rows),
        columns_(columns),
        threads_(spec.threads),
        pitch_(columns.length()),
        exact_(std::move(exact)) {
    // Rows of the slowest phase; every dest row is stride_h * o + a phase.
    const int64_t outputs = ceil_div(g.h, g.stride_h), row_bytes = g.k * pitch_ * 4;
    band_ = std::clamp<int64_t>(kBandBytes / row_bytes - rows.extra(), 1, outputs);
    band_ = std::min(band_, ceil_div(outputs, ceil_div(kTasks, g.n)));
    bands_ = ceil_div(outputs, band_);
    band_ = ceil_div(outputs, bands_);
    plane_ = (band_ + rows.extra()) * pitch_;
    stream_ = ceil_div(band_ * pitch_, kBlock) * kBlock;
    for (const AxisPhase& row : rows.phases) {
      for (const AxisPhase& column : columns.phases) add_phase(row, column);
    }
  }

  size_t workspace_bytes() const override {
    return std::max(exact_->workspace_bytes(),
                    static_cast<size_t>(weight_floats_ + threads_ * thread_floats()) * sizeof(float));
  }

  Status run(const RunContext& context) const override {
    float* weight = reinterpret_cast<float*>(context.workspace);
    float* scratch = weight + weight_floats_;
    const float* const w = context.in<float>(1);
    if (!all_finite(w, g_.k * g_.c * g_.taps())) return exact_->run(context);
    pack_weight(w, weight);
    context.pool.parallel_for(g_.n * bands_, [&](int64_t task, int thread) {
      if (context.cancelled.load(std::memory_order_relaxed)) return;
      float *planes = scratch + thread * thread_floats(), *sums = planes + planes_floats(),
            *line = sums + sums_floats();
      const int64_t image = task / bands_, first = task % bands_ * band_;
      pack_planes(Values(context.inputs[0], dy_type_) + image * blocks(g_.k) * g_.p * g_.q * kBlock, first,
                  line + line_floats(), planes);
      for (size_t i = 0; i < phases_.size(); ++i)
        run_phase(phases_[i], weight, planes, sums + phase_floats() * static_cast<int64_t>(i));
      const int64_t last = std::min(g_.h, (first + band_) * g_.stride_h);
      for (int64_t h = first * g_.stride_h; h < last; ++h)
        write_row(h, first, sums, line,
                  MutableValues(context.outputs[0], dx_type_) + (image * g_.h + h) * g_.w * kBlock);
    });
    return context.cancelled.load(std::memory_order_relaxed) ? Status(Code::kAborted, "cancelled") : Status();
  }

  std::string describe() const override {
    return std::string("narrow ") + planes_kernels().isa + ", rows " + std::to_string(band_) + ", tasks " +
           std::to_string(g_.n * bands_);
  }

 private:
  struct Phase {
    AxisPhase row, column;
    std::vector<ptrdiff_t> offsets;  // into a plane
    std::vector<int64_t> taps;       // into the weight
    int64_t weight;                  // floats before its own: [k][tap][c]
  };

  int64_t phase_floats() const { return g_.c * stream_; }
  // With what the last vector of a stream reads behind the last plane.
  int64_t planes_floats() const { return ceil_div(g_.k * plane_ + kBlock + columns_.extra(), kBlock) * kBlock; }
  int64_t sums_floats() const { return phase_floats() * static_cast<int64_t>(phases_.size()); }
  int64_t line_floats() const { return ceil_div(g_.c * g_.w, kBlock) * kBlock; }
  // Of a row of dy or of dx, where it lies as bfloat16.
  int64_t wide_floats() const {
    const int64_t dy = dy_type_ == DType::kBfloat16 ? pitch_ : 0, dx = dx_type_ == DType::kBfloat16 ? g_.w : 0;
    return std::max(dy, dx) * kBlock;
  }
  int64_t thread_floats() const { return apart(planes_floats() + sums_floats() + line_floats() + wide_floats()); }

  void add_phase(const AxisPhase& row, const AxisPhase& column) {
    Phase phase{row, column, {}, {}, weight_floats_};
    const std::vector<int64_t> taps = g_.tap_offsets();
    for (const AxisTap& r : row.taps) {
      for (const AxisTap& c : column.taps) {
        phase.offsets.push_back(r.offset * pitch_ + c.offset);
        phase.taps.push_back(taps[static_cast<size_t>(r.tap * g_.s + c.tap)]);
      }
    }
    weight_floats_ += ceil_div(g_.k * static_cast<int64_t>(phase.taps.size()) * g_.c, kBlock) * kBlock;
    phases_.push_back(std::move(phase));
  }

  void pack_weight(const float* weight, float* packed) const {
    for (const Phase& phase : phases_) {
      float* to = packed + phase.weight;
      for (int64_t k = 0; k < g_.k; ++k) {
        for (int64_t tap : phase.taps) {
          for (int64_t c = 0; c < g_.c; ++c) *to++ = weight[(k * g_.c + c) * g_.taps() + tap];
        }
      }
    }
  }

  // Place j of packed row i of every plane holds dy of row `first` + i and column j, counted from where the classes
  // begin, or zero outside of it.
  void pack_planes(Values dy, int64_t first, float* wide, float* planes) const {
    std::fill_n(planes, planes_floats(), 0.f);
    const int64_t top = rows_.classes[0].first + first, left = columns_.classes[0].first;
    const int64_t begin = std::max<int64_t>(0, -left), end = std::min(pitch_, g_.q - left);
    if (begin >= end) return;
    for (int64_t i = 0; i < band_ + rows_.extra(); ++i) {
      if (top + i < 0 || top + i >= g_.p) continue;
      for (int64_t k = 0; k < g_.k; k += kBlock) {
        const Values row = dy + (k * g_.p * g_.q + ((top + i) * g_.q + left + begin) * kBlock);
        if (row.half()) layout_bf16_kernels()->widen(row.halves(), (end - begin) * kBlock, wide);
        layout_kernels().from_blocked(row.half() ? wide : row.floats(), plane_,
                                      static_cast<int>(std::min<int64_t>(kBlock, g_.k - k)), end - begin,
                                      planes + k * plane_ + i * pitch_ + begin);
      }
    }
  }

  void run_phase(const Phase& phase, const float* weight, const float* planes, float* sums) const {
    PlanesCall call{};
    call.offsets = phase.offsets.data();
    call.taps = static_cast<ptrdiff_t>(phase.offsets.size());
    call.x_plane = plane_;
    call.y = sums;
    call.y_plane = call.count = stream_;
    const int64_t chunk = std::max<int64_t>(1, kSum / call.taps);
    for (int64_t k = 0; k < g_.k; k += chunk) {
      call.x = planes + k * plane_;
      call.x_planes = std::min(chunk, g_.k - k);
      call.weight = weight + phase.weight + k * call.taps * g_.c;
      call.accumulate = k > 0;
      planes_kernels().forward[g_.c - 1](call);
    }
  }

  // The row of dx from the phases of its columns: zeros where no tap of the filter falls.
  void write_row(int64_t h, int64_t first, const float* sums, float* line, MutableValues dest) const {
    std::fill_n(line, g_.c * g_.w, 0.f);
    for (size_t i = 0; i < phases_.size(); ++i) {
      const AxisPhase &row = phases_[i].row, &column = phases_[i].column;
      if (h % g_.stride_h != row.first) continue;
      for (int64_t c = 0; c < g_.c; ++c) {
        const float* from =
            sums + phase_floats() * static_cast<int64_t>(i) + c * stream_ + (h / g_.stride_h - first) * pitch_;
        float* to = line + c * g_.w + column.first;
        for (int64_t j = 0; j < column.outputs; ++j) to[j * column.step] = from[j];
      }
    }
    float* const row = dest.half() ? line + line_floats() : dest.floats();
    layout_kernels().to_blocked(line, g_.w, static_cast<int>(g_.c), g_.w, row);
    if (dest.half()) layout_bf16_kernels()->round(row, g_.w * kBlock, dest.halves());
  }

  ConvGeometry g_;
  DType dy_type_, dx_type_;  // in memory
  Axis rows_, columns_;
  int threads_;
  int64_t pitch_, band_ = 1, bands_ = 1, plane_ = 0, stream_ = 0, weight_floats_ = 0;
  std::vector<Phase> phases_;
  std::unique_ptr<Operation> exact_;
};

Axis rows_of(const ConvGeometry& g) {
  return gradient_axis(g.h, g.p, g.r, g.stride_h, g.dilation_h, g.top, AxisCopies::kShared);
}
Axis columns_of(const ConvGeometry& g) {
  return gradient_axis(g.w, g.q, g.s, g.stride_w, g.dilation_w, g.left, AxisCopies::kShared);
}

}  // namespace

bool supports_narrow(const OpSpec&, const ConvGeometry& g) {
  if (g.c > kPlanesMost || g.groups != 1 || g.mode != PaddingMode::kZeros) return false;
  const Axis rows = rows_of(g), columns = columns_of(g);
  // Taps that share one padded copy, and rows that are mostly pixels.
  return rows.classes.size() == 1 && columns.classes.size() == 1 && columns.extra() <= columns.outputs() &&
         columns.outputs() * rows.outputs() >= kBlock && g.k * (1 + rows.extra()) * columns.length() * 4 <= kMostBytes;
}

Status make_narrow_grad_input(const OpSpec& spec, const ConvGeometry& g, std::unique_ptr<Operation> exact,
                              std::unique_ptr<Operation>* operation) {
  *operation = std::make_unique<ConvNarrow>(spec, g, rows_of(g), columns_of(g), std::move(exact));
  return {};
}

}  // namespace fovea
