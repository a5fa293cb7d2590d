// conv2dGradWeight (x [N,C,H,W] plain or blocked, dy [N,K,P,Q] blocked) -> dw [K,C/G,R,S], db? [K]
//   dw[k,c,r,s] = Σ_{n,p,q} dy[n,k,p,q] · x[n, c, p·sh + r·dh - top, q·sw + s·dw - left],   db[k] = Σ_{n,p,q}
//   dy[n,k,p,q]
#include "ops/bf16_products.h"
#include "ops/conv_grad_stream.h"
#include "ops/conv_merged.h"
#include "ops/conv_repeated.h"
#include "ops/conv_stages.h"
#include "ops/conv_stem.h"
#include "ops/conv_winograd_grad.h"
#include "ops/conv_winograd_grad_plan.h"
#include "ops/conv_winograd_int16.h"
#include "ops/conv_winograd_problem.h"
#include "ops/operations.h"
#include "ops/plan.h"
#include "runtime/thread_pool.h"

namespace fovea {
namespace {

// The stream, after channels of groups that do not fill whole blocks have been moved into blocks of their own.
class GradStages : public Operation {
 public:
  static Status make(const GradProblem& problem, const ConvGeometry& g, int threads,
                     std::unique_ptr<Operation>* operation) {
    auto stages = std::make_unique<GradStages>();
    GradStages& s = *stages;
    s.images_ = g.n;
    s.x_type_ = problem.x_type, s.dy_type_ = problem.dy_type;
    s.x_ = {!problem.planar && !g.groups_align() && g.c_group() % kBlock != 0, g.c, g.groups, g.h * g.w};
    s.dy_ = {!g.groups_align() && g.k_group() % kBlock != 0, g.k, g.groups, g.p * g.q};
    GradProblem moved = problem;  // to float32
    if (s.x_.needed) moved.x_type = DType::kFloat32;
    if (s.dy_.needed) moved.dy_type = DType::kFloat32;
    FOVEA_RETURN_IF_ERROR(ConvGradStream::plan(moved, threads, &s.stream_));
    *operation = std::move(stages);
    return {};
  }

  size_t workspace_bytes() const override {
    return (x_.floats(images_) + dy_.floats(images_)) * sizeof(float) + stream_.workspace_bytes();
  }

  Status run(const RunContext& context) const override {
    float* x = reinterpret_cast<float*>(context.workspace);
    float* dy = x + x_.floats(images_);
    const Values x_stored(context.inputs[0], x_type_), dy_stored(context.inputs[1], dy_type_);
    x_.run(context, images_, x_stored, x);
    dy_.run(context, images_, dy_stored, dy);
    return stream_.run(context, x_.needed ? x : x_stored, dy_.needed ? dy : dy_stored, context.out<float>(0),
                       stream_.has_bias() ? context.out<float>(1) : nullptr,
                       reinterpret_cast<std::byte*>(dy + dy_.floats(images_)));
  }

  std::vector<std::vector<double>> loops() const override { return stream_.loops(); }

  std::string describe() const override {
    return (stream_.planes() > 0 ? "bf16: " : "brgemm: ") + stream_.describe() +
           (x_.needed || dy_.needed ? ", groups moved" : "");
  }

 private:
  struct Spread {
    bool needed = false;
    int64_t channels = 0, groups = 1, pixels = 0;

    int64_t target() const { return groups * blocks(channels / groups) * kBlock * pixels; }
    size_t floats(int64_t images) const { return needed ? static_cast<size_t>(images * target()) : 0; }
    void run(const RunContext& context, int64_t images, Values from, float* to) const {
      if (!needed) return;
      move_channels(context.pool, from, images, blocks(channels), pixels, spread_groups(channels, groups), to);
    }
  };
  ConvGradStream stream_;
  Spread x_, dy_;
  DType x_type_ = DType::kFloat32, dy_type_ = DType::kFloat32;
  int64_t images_ = 0;
};

Status make_stream(const OpSpec& spec, const ConvGeometry& g, int planes, std::unique_ptr<Operation>* operation) {
  const bool planar = spec.inputs[0].layout == Layout::kPlain;
  if (planes > 0 && planar) return make_stem_grad_weight(spec, g, planes, operation);
  GradProblem problem;
  problem.planes = planes;
  problem.x_type = spec.inputs[0].dtype;
  problem.dy_type = spec.inputs[1].dtype;
  problem.images = g.n;
  problem.groups = g.groups;
  problem.planar = planar;
  problem.weight = {g.k_group(), g.c_group(), g.c_group() * g.taps(), g.taps(), g.k_group() * g.c_group() * g.taps()};
  problem.weight.parts = g.merged;
  problem.rows = forward_axis(g.h, g.p, g.r, g.stride_h, g.dilation_h, g.top, g.mode, AxisCopies::kShared);
  // Of pairs short rows are better run on, where each column of the filter has a copy without gaps: rows of 14 no
  // longer, but a tile of AMX is 32 pixels deep.
  const int64_t short_rows = planes == 0 ? 0 : brgemm_bf16_kernels()->tile_rows > 1 ? 16 : 14;
  const AxisCopies copies = planar && g.stride_w > 1 ? AxisCopies::kWhole
                            : g.q < short_rows       ? AxisCopies::kSeparate
                                                     : AxisCopies::kShared;
  problem.columns = forward_axis(g.w, g.q, g.s, g.stride_w, g.dilation_w, g.left, g.mode, copies);
  problem.tap_offsets = g.tap_offsets();
  problem.taps_w = g.s;
  problem.bias = operand_at(spec.outputs, 1).present;
  problem.flops = g.flops();
  problem.tile_blocks = spec.tile_blocks;
  problem.cut = spec.cut;
  return GradStages::make(problem, g, spec.threads, operation);
}

bool winograd_possible(const OpSpec& spec, const ConvGeometry& g) {
  return spec.inputs[0].layout == Layout::kBlocked && winograd_possible(g) && g.r == 3;
}

bool winograd_wins(const OpSpec& spec, const ConvGeometry& g) {
  if (!winograd_possible(spec, g) || bf16_beats_winograd(spec.precision)) return false;
  const bool pairs = bf16_wins(spec, g) && bf16_planes(spec.precision) < kMaxPlanes;
  return pairs ? winograd_grad_beats_pairs(g) : winograd_grad_pays(g);
}

template <bool int16>
Status make_winograd(const OpSpec& spec, const ConvGeometry& g, std::unique_ptr<Operation>* operation) {
  std::unique_ptr<Operation> direct;
  FOVEA_RETURN_IF_ERROR(make_stream(spec, g, 0, &direct));
  const bool bias = operand_at(spec.outputs, 1).present;
  const WinogradGradWay way{winograd_grad_tile(g), int16, spec.inputs[0].dtype, spec.inputs[1].dtype, bias};
  return make_winograd_grad(g, way, spec.threads, std::move(direct), operation);
}

bool winograd_int16_possible(const OpSpec& spec, const ConvGeometry& g) {
  return winograd_possible(spec, g) && winograd_int16_possible(spec);
}

bool winograd_int16_wins(const OpSpec& spec, const ConvGeometry& g) {
  return winograd_int16_possible(spec, g) && !bf16_beats_winograd(spec.precision) && winograd_grad_int16_pays(g);
}

bool winograd_merged_possible(const OpSpec& spec, const ConvGeometry& g) {
  return merged_possible(spec, g) && winograd_possible(spec, merged_geometry(g));
}

bool winograd_merged_wins(const OpSpec& spec, const ConvGeometry& g) {
  return merged_wins(spec, g) && winograd_wins(spec, merged_geometry(g));
}

bool winograd_int16_merged_possible(const OpSpec& spec, const ConvGeometry& g) {
  return winograd_merged_possible(spec, g) && winograd_int16_possible(spec);
}

// For make_merged().
template <bool int16>
Status make_winograd_for_merged(const OpSpec& spec, const ConvGeometry& g, int, std::unique_ptr<Operation>* operation) {
  return make_winograd<int16>(spec, g, operation);
}

// In float32, of channels where they lie if that can be: they may be rounded there.
Status make_unmerged(const OpSpec& spec, const ConvGeometry& g, std::unique_ptr<Operation>* operation) {
  return supports_depthwise(spec, g) ? make_depthwise_grad_weight(spec, g, operation)
                                     : make_stream(spec, g, 0, operation);
}

constexpr auto merged_in_bf16 = make_merged<make_stream, with_merged_gradient, make_unmerged, true>;
constexpr auto merged_in_float32 = make_merged<make_stream, with_merged_gradient, make_unmerged, false>;
constexpr auto merged_winograd =
    make_merged<make_winograd_for_merged<false>, with_merged_gradient, make_unmerged, false>;
constexpr auto merged_winograd_int16 =
    make_merged<make_winograd_for_merged<true>, with_merged_gradient, make_unmerged, false>;

const Algorithm<ConvGeometry> kAlgorithms[] = {
    {"depthwise", supports_depthwise, make_depthwise_grad_weight},
    {"repeated", supports_repeated, make_repeated_grad_weight},
    {"winograd int16", winograd_int16_wins, make_winograd<true>},
    {"winograd", winograd_wins, make_winograd<false>},
    {"bf16 merged", bf16_merged_wins, merged_in_bf16, kTiled},
    {"bf16", bf16_wins, in_bf16<make_stream>, kTiled},
    {"winograd merged", winograd_merged_wins, merged_winograd},
    {"brgemm merged", merged_wins, merged_in_float32, kTiled},
    {"brgemm", direct_possible, in_float32<make_stream>, kTiled},
    {"bf16", bf16_possible, in_bf16<make_stream>, kTiled},  // where the model does not prefer it: measured, or by name
    {"bf16 merged", bf16_merged_possible, merged_in_bf16, kTiled},
    {"brgemm merged", merged_possible, merged_in_float32, kTiled},
    {"winograd", winograd_possible, make_winograd<false>},
    {"winograd int16", winograd_int16_possible, make_winograd<true>},
    {"winograd merged", winograd_merged_possible, merged_winograd},
    {"winograd int16 merged", winograd_int16_merged_possible, merged_winograd_int16},
};

}  // namespace

Status make_conv2dGradWeight(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  FOVEA_RETURN_IF_ERROR(check_counts(spec, 2, 2, 1, 2));
  const Operand &x = spec.inputs[0], &dy = spec.inputs[1], &dw = spec.outputs[0], &db = operand_at(spec.outputs, 1);
  FOVEA_RETURN_IF_ERROR(check_operand(spec, x, 4, "x"));
  FOVEA_RETURN_IF_ERROR(check_operand(spec, dy, 4, "dy"));
  FOVEA_RETURN_IF_ERROR(check_operand(spec, dw, 4, "dw"));
  FOVEA_RETURN_IF_ERROR(check_layout(spec, dy, Layout::kBlocked, "dy"));
  FOVEA_RETURN_IF_ERROR(check_layout(spec, dw, Layout::kPlain, "dw"));
  ConvGeometry g;
  g.n = x.shape[0], g.c = x.shape[1], g.h = x.shape[2], g.w = x.shape[3];
  g.k = dy.shape[1], g.p = dy.shape[2], g.q = dy.shape[3];
  g.r = dw.shape[2], g.s = dw.shape[3];
  FOVEA_RETURN_IF_ERROR(read_conv_attributes(spec, &g));
  FOVEA_RETURN_IF_ERROR(check_conv(spec, g));
  FOVEA_RETURN_IF_ERROR(check_rounded(spec, g));
  FOVEA_RETURN_IF_ERROR(check_shape(spec, dy, {g.n, g.k, g.p, g.q}, "dy"));
  const auto kernel = spec.attributes.integers("kernelSize", 2);
  FOVEA_RETURN_IF_ERROR(spec.attributes.status("conv2dGradWeight"));
  FOVEA_RETURN_IF_ERROR(check_shape(spec, dw, {g.k, g.c_group(), kernel[0], kernel[1]}, "dw"));
  if (db.present) {
    FOVEA_RETURN_IF_ERROR(check_operand(spec, db, 1, "db"));
    FOVEA_RETURN_IF_ERROR(check_shape(spec, db, {g.k}, "db"));
  }
  return make_best(kAlgorithms, spec, g, operation);
}

}  // namespace fovea
