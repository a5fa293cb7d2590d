// Optimizer steps over all parameters at once, in place (lib/ops/update.ts has the operands and the formulas).
#include <cmath>

#include "kernels/optim/optim.h"
#include "ops/check.h"
#include "ops/operations.h"
#include "ops/parallel.h"

namespace fovea {
namespace {

// A run of one parameter's elements.
struct Piece {
  size_t parameter;
  int64_t begin, end;
};

// Tasks are runs of pieces: a large parameter is cut, small ones (biases) share a task.
class Pieces {
 public:
  void add(size_t parameter, int64_t elements) {
    for (int64_t begin = 0; begin < elements; begin += kGrain) {
      const int64_t end = std::min(elements, begin + kGrain);
      if (starts_.empty() || filled_ + (end - begin) > kGrain) starts_.push_back(pieces_.size()), filled_ = 0;
      pieces_.push_back({parameter, begin, end});
      filled_ += end - begin;
    }
  }
  int64_t tasks() const { return int64_t(starts_.size()); }

  template <class Body>
  Status run(const RunContext& context, const Body& body) const {
    return for_tasks(context, tasks(), [&](int64_t task) {
      const size_t end = size_t(task) + 1 < starts_.size() ? starts_[size_t(task) + 1] : pieces_.size();
      for (size_t i = starts_[size_t(task)]; i < end; ++i) body(pieces_[i]);
    });
  }

 private:
  std::vector<Piece> pieces_;
  std::vector<size_t> starts_;
  int64_t filled_ = 0;
};

class SgdUpdate : public Operation {
 public:
  SgdUpdate(size_t count, Pieces pieces, bool momentum, bool nesterov, bool maximize)
      : count_(count), pieces_(std::move(pieces)), momentum_(momentum), nesterov_(nesterov), maximize_(maximize) {}

  Status run(const RunContext& context) const override {
    const double* const hyper = context.in<double>(0);
    return pieces_.run(context, [&](const Piece& piece) {
      const size_t k = piece.parameter;
      const double* const own = hyper + 1 + 4 * k;
      SgdParams params{float(own[0]), float(own[1]), float(1 - own[2]), float(own[3]),
                       hyper[0] <= 1, nesterov_,     maximize_};
      if (!momentum_) params.momentum = 0;
      const bool keeps = params.momentum != 0;
      const float* const m = keeps ? context.in<float>(1 + 2 * count_ + k) + piece.begin : nullptr;
      float* const m_out = keeps ? context.out<float>(count_ + k) + piece.begin : nullptr;
      kernels_.sgd(context.in<float>(1 + k) + piece.begin, context.in<float>(1 + count_ + k) + piece.begin, m,
                   context.out<float>(k) + piece.begin, m_out, piece.end - piece.begin, params);
    });
  }
  std::string describe() const override { return describe_kernel("optim", kernels_.isa, pieces_.tasks()); }

 private:
  size_t count_;
  Pieces pieces_;
  bool momentum_, nesterov_, maximize_;
  const OptimKernels& kernels_ = optim_kernels();
};

class AdamUpdate : public Operation {
 public:
  AdamUpdate(size_t count, Pieces pieces, bool decoupled, bool maximize)
      : count_(count), pieces_(std::move(pieces)), decoupled_(decoupled), maximize_(maximize) {}

  Status run(const RunContext& context) const override {
    const double* const hyper = context.in<double>(0);
    return pieces_.run(context, [&](const Piece& piece) {
      const size_t k = piece.parameter, n = count_;
      const AdamParams params = parameters(hyper[0], hyper + 1 + 5 * k);
      const int64_t at = piece.begin;
      kernels_.adam(context.in<float>(1 + k) + at, context.in<float>(1 + n + k) + at,
                    context.in<float>(1 + 2 * n + k) + at, context.in<float>(1 + 3 * n + k) + at,
                    context.out<float>(k) + at, context.out<float>(n + k) + at, context.out<float>(2 * n + k) + at,
                    piece.end - at, params);
    });
  }
  std::string describe() const override { return describe_kernel("optim", kernels_.isa, pieces_.tasks()); }

 private:
  // own: lr, beta1, beta2, eps, weightDecay
  AdamParams parameters(double step, const double* own) const {
    AdamParams params;
    params.beta2 = float(own[2]), params.eps = float(own[3]), params.weight_decay = float(own[4]);
    params.lerp = float(1 - own[1]), params.one_minus_beta2 = float(1 - own[2]);
    params.step_size = float(own[0] / (1 - std::pow(own[1], step)));
    params.root_correction = float(std::sqrt(1 - std::pow(own[2], step)));
    params.decay = float(1 - own[0] * own[4]);
    params.decoupled = decoupled_ && own[4] != 0, params.maximize = maximize_;
    if (decoupled_) params.weight_decay = 0;
    return params;
  }

  size_t count_;
  Pieces pieces_;
  bool decoupled_, maximize_;
  const OptimKernels& kernels_ = optim_kernels();
};

// hyper, p.., g.., and `states` more of each parameter; outputs p.., states..
Status read_parameters(SpecCheck& check, const OpSpec& spec, size_t states, size_t numbers, size_t* parameters,
                       Pieces* pieces) {
  const int64_t given = spec.attributes.integer("count");
  FOVEA_RETURN_IF_ERROR(check.status());
  check.require(given >= 1 && given <= 1000000, Code::kOption, "count is " + std::to_string(given));
  FOVEA_RETURN_IF_ERROR(check.status());
  const size_t n = size_t(given);
  check.require(spec.inputs.size() == 1 + (2 + states) * n && spec.outputs.size() == (1 + states) * n, Code::kOption,
                std::to_string(n) + " parameters do not fit " + std::to_string(spec.inputs.size()) + " inputs and " +
                    std::to_string(spec.outputs.size()) + " outputs");
  FOVEA_RETURN_IF_ERROR(check.status());
  check.plain(spec.inputs[0], "hyper", DType::kFloat64);
  check.shape(spec.inputs[0], "hyper", {int64_t(1 + numbers * n)});
  for (size_t k = 0; k < n; ++k) {
    const Operand& p = spec.inputs[1 + k];
    check.plain(p, "parameter");
    for (size_t i = 1; i < 2 + states; ++i) check.like(spec.inputs[1 + i * n + k], "gradient or state", p);
    for (size_t i = 0; i < 1 + states; ++i) check.like(spec.outputs[i * n + k], "output", p);
    FOVEA_RETURN_IF_ERROR(check.status());
    pieces->add(k, p.elements());
  }
  *parameters = n;
  return check.status();
}

}  // namespace

Status make_sgdUpdate(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  SpecCheck check(spec, spec.inputs.size(), spec.outputs.size());
  const bool momentum = spec.attributes.integer("momentum") != 0, nesterov = spec.attributes.integer("nesterov") != 0;
  const bool maximize = spec.attributes.integer("maximize") != 0;
  size_t count = 0;
  Pieces pieces;
  FOVEA_RETURN_IF_ERROR(read_parameters(check, spec, momentum ? 1 : 0, 4, &count, &pieces));
  operation->reset(new SgdUpdate(count, std::move(pieces), momentum, nesterov, maximize));
  return {};
}

Status make_adamUpdate(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  SpecCheck check(spec, spec.inputs.size(), spec.outputs.size());
  const bool decoupled = spec.attributes.integer("decoupled") != 0, maximize = spec.attributes.integer("maximize") != 0;
  size_t count = 0;
  Pieces pieces;
  FOVEA_RETURN_IF_ERROR(read_parameters(check, spec, 2, 5, &count, &pieces));
  operation->reset(new AdamUpdate(count, std::move(pieces), decoupled, maximize));
  return {};
}

}  // namespace fovea
