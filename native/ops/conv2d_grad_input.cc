// conv2dGradInput (dy [N,K,P,Q] blocked, weight [K,C/G,R,S], add? as dx, mask? [N,C/16,H,W,2], x? as dx, mean? [C])
//   -> dx [N,C,H,W] blocked, sums? [2,C]
//   dx[n,c,h,w] = Σ_{k,r,s} dy[n, k, (h + top - r·dh) / sh, (w + left - s·dw) / sw] · w[k,c,r,s]   where both divide
// For each (h mod sh, w mod sw) that is a convolution of stride 1 with some of the taps.
#include "ops/bf16_products.h"
#include "ops/conv_epilogue.h"
#include "ops/conv_merged.h"
#include "ops/conv_narrow.h"
#include "ops/conv_repeated.h"
#include "ops/conv_stages.h"
#include "ops/conv_winograd_choice.h"
#include "ops/operations.h"
#include "ops/plan.h"

namespace fovea {
namespace {

bool depthwise_with_zeros(const OpSpec& spec, const ConvGeometry& g) {
  return g.mode == PaddingMode::kZeros && supports_depthwise(spec, g);
}

bool repeated_with_zeros(const OpSpec& spec, const ConvGeometry& g) {
  return g.mode == PaddingMode::kZeros && supports_repeated(spec, g);
}

Status make_stream(const OpSpec& spec, const ConvGeometry& g, int planes, std::unique_ptr<Operation>* operation) {
  // Through a padding that repeats pixels, the gradient of the padded image comes first and is folded back.
  const bool folds = g.mode != PaddingMode::kZeros;
  const int64_t h = folds ? g.h + g.top + g.bottom : g.h, w = folds ? g.w + g.left + g.right : g.w;
  StreamProblem problem;
  problem.planes = planes;
  problem.source_type = spec.inputs[0].dtype;
  problem.dest_type = spec.outputs[0].dtype;
  problem.epilogue = wants_epilogue(spec);
  problem.images = g.n;
  problem.groups = g.groups;
  problem.weight = {g.c_group(), g.k_group(), g.taps(), g.c_group() * g.taps(), g.k_group() * g.c_group() * g.taps()};
  problem.weight.parts = g.merged;
  const BrgemmKernels& kernels = planes > 0 ? *brgemm_bf16_kernels() : brgemm_kernels();
  const bool separate =
      g.stride_h == 1 && g.stride_w == 1 && short_rows(kernels, h, w, blocks(g.c_group()), g.taps(), g.s);
  problem.rows = gradient_axis(h, g.p, g.r, g.stride_h, g.dilation_h, folds ? 0 : g.top, AxisCopies::kShared);
  problem.columns = gradient_axis(w, g.q, g.s, g.stride_w, g.dilation_w, folds ? 0 : g.left,
                                  separate ? AxisCopies::kSeparate : AxisCopies::kShared);
  problem.dest_h = h;
  problem.dest_w = w;
  problem.taps_w = g.s;
  problem.tap_offsets = g.tap_offsets();
  problem.flops = g.flops();
  problem.tile_blocks = spec.tile_blocks;
  problem.cut = spec.cut;
  ConvStages::Around around;
  around.name = planes > 0 ? "bf16" : "brgemm";
  around.source_channels = g.k;
  around.dest_channels = g.c;
  around.dest_h = g.h;
  around.dest_w = g.w;
  if (folds) {
    around.fold_rows = fold_lists(g.h, g.top, g.bottom, g.mode);
    around.fold_columns = fold_lists(g.w, g.left, g.right, g.mode);
  }
  return ConvStages::make(problem, around, spec.threads, operation);
}

Status make_narrow(const OpSpec& spec, const ConvGeometry& g, std::unique_ptr<Operation>* operation) {
  std::unique_ptr<Operation> exact;
  FOVEA_RETURN_IF_ERROR(make_stream(spec, g, 0, &exact));
  return make_narrow_grad_input(spec, g, std::move(exact), operation);
}

WinogradProblem winograd_problem(const OpSpec&, const ConvGeometry& g) { return winograd_gradient(g); }

bool gradient_possible(const OpSpec&, const ConvGeometry& g) { return winograd_possible(g); }

using Winograd = WinogradChoice<winograd_problem, gradient_possible, make_stream>;

// In float32, of channels where they lie if that can be: they may be rounded there.
Status make_unmerged(const OpSpec& spec, const ConvGeometry& g, std::unique_ptr<Operation>* operation) {
  return depthwise_with_zeros(spec, g) ? make_depthwise_grad_input(spec, g, operation)
                                       : make_stream(spec, g, 0, operation);
}

constexpr auto merged_in_bf16 = make_merged<make_stream, with_merged_weight, make_unmerged, true>;
constexpr auto merged_in_float32 = make_merged<make_stream, with_merged_weight, make_unmerged, false>;
constexpr auto merged_winograd =
    make_merged<Winograd::make_for_merged<false>, with_merged_weight, make_unmerged, false>;
constexpr auto merged_winograd_int16 =
    make_merged<Winograd::make_for_merged<true>, with_merged_weight, make_unmerged, false>;

const Algorithm<ConvGeometry> kAlgorithms[] = {
    {"depthwise", depthwise_with_zeros, make_depthwise_grad_input},
    {"repeated", repeated_with_zeros, make_repeated_grad_input},
    {"narrow", supports_narrow, make_narrow},
    {"winograd int16", Winograd::int16_wins, Winograd::make_int16},
    {"winograd", Winograd::wins, Winograd::make},
    {"bf16 merged", bf16_merged_wins, merged_in_bf16, kTiled},
    {"bf16", bf16_wins, in_bf16<make_stream>, kTiled},
    {"winograd merged", Winograd::merged_wins, merged_winograd},
    {"brgemm merged", merged_wins, merged_in_float32, kTiled},
    {"brgemm", direct_possible, in_float32<make_stream>, kTiled},
    {"bf16", bf16_possible, in_bf16<make_stream>, kTiled},  // where the model does not prefer it: measured, or by name
    {"bf16 merged", bf16_merged_possible, merged_in_bf16, kTiled},
    {"brgemm merged", merged_possible, merged_in_float32, kTiled},
    {"winograd", Winograd::possible, Winograd::make},
    {"winograd int16", Winograd::int16_possible, Winograd::make_int16},
    {"winograd merged", Winograd::merged_possible, merged_winograd},
    {"winograd int16 merged", Winograd::int16_merged_possible, merged_winograd_int16},
};

}  // namespace

Status make_conv2dGradInput(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  FOVEA_RETURN_IF_ERROR(check_counts(spec, 2, 6, 1, 2));
  const Operand &dy = spec.inputs[0], &weight = spec.inputs[1], &dx = spec.outputs[0];
  FOVEA_RETURN_IF_ERROR(check_operand(spec, dy, 4, "dy"));
  FOVEA_RETURN_IF_ERROR(check_operand(spec, weight, 4, "weight"));
  FOVEA_RETURN_IF_ERROR(check_operand(spec, dx, 4, "dx"));
  FOVEA_RETURN_IF_ERROR(check_layout(spec, dy, Layout::kBlocked, "dy"));
  FOVEA_RETURN_IF_ERROR(check_layout(spec, weight, Layout::kPlain, "weight"));
  FOVEA_RETURN_IF_ERROR(check_layout(spec, dx, Layout::kBlocked, "dx"));
  ConvGeometry g;
  g.n = dx.shape[0], g.c = dx.shape[1], g.h = dx.shape[2], g.w = dx.shape[3];
  g.k = weight.shape[0], g.r = weight.shape[2], g.s = weight.shape[3];
  g.p = dy.shape[2], g.q = dy.shape[3];
  FOVEA_RETURN_IF_ERROR(read_conv_attributes(spec, &g));
  FOVEA_RETURN_IF_ERROR(check_conv(spec, g));
  FOVEA_RETURN_IF_ERROR(check_rounded(spec, g));
  FOVEA_RETURN_IF_ERROR(check_shape(spec, weight, {g.k, g.c_group(), g.r, g.s}, "weight"));
  FOVEA_RETURN_IF_ERROR(check_shape(spec, dy, {g.n, g.k, g.p, g.q}, "dy"));
  FOVEA_RETURN_IF_ERROR(check_shape(spec, dx, spec.attributes.integers("inputShape", 4), "dx"));
  FOVEA_RETURN_IF_ERROR(spec.attributes.status("conv2dGradInput"));
  std::unique_ptr<Operation> conv;
  FOVEA_RETURN_IF_ERROR(make_best(kAlgorithms, spec, g, &conv));
  return add_gradient_epilogue(spec, std::move(conv), operation);
}

}  // namespace fovea
