// Winograd's algorithm as it stands in the tables of conv2d and of conv2dGradInput.
#pragma once
#include <memory>
#include <utility>

#include "kernels/bf16/bf16.h"
#include "ops/bf16_products.h"
#include "ops/conv_epilogue.h"
#include "ops/conv_merged.h"
#include "ops/conv_stages.h"
#include "ops/conv_winograd.h"
#include "ops/conv_winograd_int16.h"

namespace fovea {

// kProblem(spec, g) is the pass as Winograd's algorithm sees it, kPossible(spec, g) whether it does at all, and
// kDirect(spec, g, 0, &operation) makes the direct sum in float32, for values that a tile would spread.
template <auto kProblem, auto kPossible, auto kDirect>
struct WinogradChoice {
  static bool possible(const OpSpec& spec, const ConvGeometry& g) { return kPossible(spec, g); }

  static bool wins(const OpSpec& spec, const ConvGeometry& g) {
    if (!possible(spec, g) || bf16_beats_winograd(spec.precision)) return false;
    // Six products on tiles of AMX are twice as fast as float32's, which is less than this algorithm is.
    const bool pairs = bf16_wins(spec, g) && bf16_planes(spec.precision) < kMaxPlanes;
    return pairs ? winograd_beats_pairs(g, problem(spec, g)) : winograd_pays(g, problem(spec, g));
  }

  static bool int16_possible(const OpSpec& spec, const ConvGeometry& g) {
    return possible(spec, g) && winograd_int16_possible(spec);
  }

  static bool int16_wins(const OpSpec& spec, const ConvGeometry& g) {
    return int16_possible(spec, g) && !bf16_beats_winograd(spec.precision) && winograd_int16_pays(g, problem(spec, g));
  }

  // Of merged groups: products with zeros, of which the direct sum leaves out most, are four times fewer here.
  static bool merged_possible(const OpSpec& spec, const ConvGeometry& g) {
    return fovea::merged_possible(spec, g) && possible(spec, merged_geometry(g));
  }

  static bool merged_wins(const OpSpec& spec, const ConvGeometry& g) {
    return fovea::merged_wins(spec, g) && wins(spec, merged_geometry(g));
  }

  static bool int16_merged_possible(const OpSpec& spec, const ConvGeometry& g) {
    return merged_possible(spec, g) && winograd_int16_possible(spec);
  }

  static Status make(const OpSpec& spec, const ConvGeometry& g, std::unique_ptr<Operation>* operation) {
    return make_by(make_winograd, spec, g, operation);
  }

  static Status make_int16(const OpSpec& spec, const ConvGeometry& g, std::unique_ptr<Operation>* operation) {
    return make_by(make_winograd_int16, spec, g, operation);
  }

  // For make_merged().
  template <bool kInt16>
  static Status make_for_merged(const OpSpec& spec, const ConvGeometry& g, int, std::unique_ptr<Operation>* operation) {
    return kInt16 ? make_int16(spec, g, operation) : make(spec, g, operation);
  }

 private:
  static WinogradProblem problem(const OpSpec& spec, const ConvGeometry& g) {
    WinogradProblem problem = kProblem(spec, g);
    problem.epilogue = wants_epilogue(spec);
    problem.source_type = spec.inputs[0].dtype;
    problem.dest_type = spec.outputs[0].dtype;
    return problem;
  }

  template <class Make>
  static Status make_by(const Make& make, const OpSpec& spec, const ConvGeometry& g,
                        std::unique_ptr<Operation>* operation) {
    std::unique_ptr<Operation> direct;
    FOVEA_RETURN_IF_ERROR(kDirect(plain_spec(spec), g, 0, &direct));
    const WinogradProblem of = problem(spec, g);
    return make(of, winograd_tile(of), spec.threads, std::move(direct), operation);
  }
};

}  // namespace fovea
