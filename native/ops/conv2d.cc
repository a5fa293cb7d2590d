// conv2d (x [N,C,H,W] plain or blocked, weight [K,C/G,R,S], bias? [K], add? [N,K,P,Q] blocked)
//   -> y [N,K,P,Q] blocked, mean? [K], variance? [K], mask? [N,K/16,P,Q,2]
//   y[n,k,p,q] = act(b[k] + Σ_{c,r,s} x[n, c, p·sh + r·dh - top, q·sw + s·dw - left] · w[k,c,r,s] + add[n,k,p,q])
#include "ops/bf16_products.h"
#include "ops/conv_epilogue.h"
#include "ops/conv_merged.h"
#include "ops/conv_repeated.h"
#include "ops/conv_stages.h"
#include "ops/conv_stem.h"
#include "ops/conv_winograd_choice.h"
#include "ops/kept_weight.h"
#include "ops/operations.h"
#include "ops/plan.h"

namespace fovea {
namespace {

Status make_stream(const OpSpec& spec, const ConvGeometry& g, int planes, std::unique_ptr<Operation>* operation) {
  const bool planar = spec.inputs[0].layout == Layout::kPlain;
  if (planes > 0 && planar) return make_stem(spec, g, planes, operation);
  StreamProblem problem;
  problem.planes = planes;
  problem.source_type = spec.inputs[0].dtype;
  problem.dest_type = spec.outputs[0].dtype;
  problem.epilogue = wants_epilogue(spec);
  problem.keeps = keeps_weight(spec);
  problem.images = g.n;
  problem.groups = g.groups;
  problem.planar = planar;
  problem.weight = {g.k_group(), g.c_group(), g.c_group() * g.taps(), g.taps(), g.k_group() * g.c_group() * g.taps()};
  problem.weight.parts = g.merged;
  const BrgemmKernels& kernels = planes > 0 ? *brgemm_bf16_kernels() : brgemm_kernels();
  const bool separate = short_rows(kernels, g.p, g.q, blocks(g.k_group()), g.taps(), g.s);
  const AxisCopies copies = planar && g.stride_w > 1 ? AxisCopies::kWhole
                            : separate               ? AxisCopies::kSeparate
                                                     : AxisCopies::kShared;
  problem.rows = forward_axis(g.h, g.p, g.r, g.stride_h, g.dilation_h, g.top, g.mode, AxisCopies::kShared);
  problem.columns = forward_axis(g.w, g.q, g.s, g.stride_w, g.dilation_w, g.left, g.mode, copies);
  problem.dest_h = g.p;
  problem.dest_w = g.q;
  problem.taps_w = g.s;
  problem.tap_offsets = g.tap_offsets();
  problem.relu = spec.attributes.text("activation") == "relu";
  problem.flops = g.flops();
  problem.tile_blocks = spec.tile_blocks;
  problem.cut = spec.cut;
  ConvStages::Around around;
  around.name = planes > 0 ? "bf16" : "brgemm";
  around.source_channels = g.c;
  around.dest_channels = g.k;
  around.dest_h = g.p;
  around.dest_w = g.q;
  around.has_bias = operand_at(spec.inputs, 2).present;
  return ConvStages::make(problem, around, spec.threads, operation);
}

bool bf16_best(const OpSpec& spec, const ConvGeometry& g) {
  return spec.inputs[0].layout == Layout::kPlain ? stem_wins(spec, g) : bf16_wins(spec, g);
}

WinogradProblem winograd_problem(const OpSpec& spec, const ConvGeometry& g) {
  WinogradProblem problem =
      winograd_forward(g, operand_at(spec.inputs, 2).present, spec.attributes.text("activation") == "relu");
  problem.keeps = keeps_weight(spec);
  return problem;
}

bool blocked_winograd_possible(const OpSpec& spec, const ConvGeometry& g) {
  return spec.inputs[0].layout == Layout::kBlocked && winograd_possible(g);
}

using Winograd = WinogradChoice<winograd_problem, blocked_winograd_possible, make_stream>;

// In float32, of channels where they lie if that can be: they may be rounded there.
Status make_unmerged(const OpSpec& spec, const ConvGeometry& g, std::unique_ptr<Operation>* operation) {
  return supports_depthwise(spec, g) ? make_depthwise_forward(spec, g, operation) : make_stream(spec, g, 0, operation);
}

constexpr auto merged_in_bf16 = make_merged<make_stream, with_merged_weight, make_unmerged, true>;
constexpr auto merged_in_float32 = make_merged<make_stream, with_merged_weight, make_unmerged, false>;
constexpr auto merged_winograd =
    make_merged<Winograd::make_for_merged<false>, with_merged_weight, make_unmerged, false>;
constexpr auto merged_winograd_int16 =
    make_merged<Winograd::make_for_merged<true>, with_merged_weight, make_unmerged, false>;

const Algorithm<ConvGeometry> kAlgorithms[] = {
    {"depthwise", supports_depthwise, make_depthwise_forward},
    {"repeated", supports_repeated, make_repeated_forward},
    {"winograd int16", Winograd::int16_wins, Winograd::make_int16},
    {"winograd", Winograd::wins, Winograd::make},
    {"bf16 merged", bf16_merged_wins, merged_in_bf16, kTiled},
    {"bf16", bf16_best, in_bf16<make_stream>, kTiled},
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

Status make_conv2d(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  FOVEA_RETURN_IF_ERROR(check_counts(spec, 2, 4, 1, 4));
  const Operand &x = spec.inputs[0], &weight = spec.inputs[1], &bias = operand_at(spec.inputs, 2), &y = spec.outputs[0];
  FOVEA_RETURN_IF_ERROR(check_operand(spec, x, 4, "x"));
  FOVEA_RETURN_IF_ERROR(check_operand(spec, weight, 4, "weight"));
  FOVEA_RETURN_IF_ERROR(check_operand(spec, y, 4, "y"));
  FOVEA_RETURN_IF_ERROR(check_layout(spec, weight, Layout::kPlain, "weight"));
  FOVEA_RETURN_IF_ERROR(check_layout(spec, y, Layout::kBlocked, "y"));
  ConvGeometry g;
  g.n = x.shape[0], g.c = x.shape[1], g.h = x.shape[2], g.w = x.shape[3];
  g.k = weight.shape[0], g.r = weight.shape[2], g.s = weight.shape[3];
  g.p = y.shape[2], g.q = y.shape[3];
  g.keeps = keeps_weight(spec);
  FOVEA_RETURN_IF_ERROR(read_conv_attributes(spec, &g));
  FOVEA_RETURN_IF_ERROR(check_conv(spec, g));
  FOVEA_RETURN_IF_ERROR(check_rounded(spec, g));
  FOVEA_RETURN_IF_ERROR(check_shape(spec, weight, {g.k, g.c_group(), g.r, g.s}, "weight"));
  FOVEA_RETURN_IF_ERROR(check_shape(spec, y, {g.n, g.k, g.p, g.q}, "y"));
  if (bias.present) {
    FOVEA_RETURN_IF_ERROR(check_operand(spec, bias, 1, "bias"));
    FOVEA_RETURN_IF_ERROR(check_shape(spec, bias, {g.k}, "bias"));
  }
  const std::string activation = spec.attributes.text("activation");
  FOVEA_RETURN_IF_ERROR(spec.attributes.status("conv2d"));
  if (activation != "none" && activation != "relu")
    return {Code::kOption, "conv2d: unknown activation '" + activation + "'"};
  OpSpec product = spec;
  if (operand_at(spec.inputs, 3).present) product.attributes.set("activation", std::string("none"));  // after the sum
  std::unique_ptr<Operation> conv;
  FOVEA_RETURN_IF_ERROR(make_best(kAlgorithms, product, g, &conv));
  return add_conv_epilogue(spec, std::move(conv), operation);
}

}  // namespace fovea
