// add, sub, mul with NumPy's broadcasting: axes of size 1 and missing leading axes repeat.
#include "kernels/eltwise/eltwise.h"
#include "ops/check.h"
#include "ops/operations.h"
#include "ops/parallel.h"

namespace fovea {
namespace {

// One axis of the result, or several that both operands walk through as one. Steps are in elements, 0 where an operand
// repeats.
struct Axis {
  int64_t size, a_step, b_step;
};

std::vector<int64_t> steps(const std::vector<int64_t>& shape, size_t rank) {
  std::vector<int64_t> result(rank, 0);
  int64_t step = 1;
  for (size_t i = shape.size(); i-- > 0; step *= shape[i]) {
    if (shape[i] != 1) result[rank - shape.size() + i] = step;
  }
  return result;
}

// Outermost first; at least one axis. Blocked operands of one shape are one axis, padding lanes included.
std::vector<Axis> merge_axes(const Operand& a, const Operand& b, const Operand& y) {
  if (a.shape == b.shape) return {{y.elements(), 1, 1}};
  const std::vector<int64_t> a_steps = steps(a.shape, y.shape.size()), b_steps = steps(b.shape, y.shape.size());
  std::vector<Axis> axes;
  for (size_t i = 0; i < y.shape.size(); ++i) {
    const Axis axis{y.shape[i], a_steps[i], b_steps[i]};
    if (axis.size == 1) continue;
    if (!axes.empty() && axes.back().a_step == axis.a_step * axis.size &&
        axes.back().b_step == axis.b_step * axis.size) {
      axes.back() = {axes.back().size * axis.size, axis.a_step, axis.b_step};
    } else {
      axes.push_back(axis);
    }
  }
  if (axes.empty()) axes.push_back({1, 1, 1});
  return axes;
}

template <class T>  // how values lie in memory
class Broadcast : public Operation {
 public:
  Broadcast(BinaryKernelOf<T> kernel, std::vector<Axis> axes) : kernel_(kernel), outer_(std::move(axes)) {
    inner_ = outer_.back();
    outer_.pop_back();
    for (const Axis& axis : outer_) rows_ *= axis.size;
    segments_ = ceil_div(inner_.size, kGrain);
    per_task_ = units_per_task(inner_.size);
  }

  Status run(const RunContext& context) const override {
    const T *const a = context.in<T>(0), *const b = context.in<T>(1);
    T* const y = context.out<T>(0);
    return for_ranges(context, rows_ * segments_, per_task_, [&](int64_t begin, int64_t end) {
      for (int64_t unit = begin; unit < end; ++unit) row(unit / segments_, unit % segments_, a, b, y);
    });
  }
  std::string describe() const override {
    return describe_kernel("eltwise", eltwise_kernels().isa, ceil_div(rows_ * segments_, per_task_));
  }

 private:
  void row(int64_t index, int64_t segment, const T* a, const T* b, T* y) const {
    const int64_t from = segment * kGrain, n = std::min(inner_.size - from, kGrain);
    y += index * inner_.size + from;
    for (size_t i = outer_.size(); i-- > 0; index /= outer_[i].size) {
      const int64_t at = index % outer_[i].size;
      a += at * outer_[i].a_step, b += at * outer_[i].b_step;
    }
    kernel_(a + from * inner_.a_step, int(inner_.a_step), b + from * inner_.b_step, int(inner_.b_step), y, n);
  }

  BinaryKernelOf<T> kernel_;
  std::vector<Axis> outer_;
  Axis inner_;
  int64_t rows_ = 1, segments_ = 1, per_task_ = 1;
};

bool broadcasts_to(const std::vector<int64_t>& from, const std::vector<int64_t>& to) {
  if (from.size() > to.size()) return false;
  const size_t lead = to.size() - from.size();
  for (size_t i = 0; i < from.size(); ++i) {
    if (from[i] != 1 && from[i] != to[lead + i]) return false;
  }
  return true;
}

// `pick` takes the kernels and gives the operator's.
template <class Pick>
Status make_binary(const OpSpec& spec, const Pick& pick, std::unique_ptr<Operation>* operation) {
  SpecCheck check(spec, 2, 1);
  const Operand &a = check.in(0), &b = check.in(1), &y = check.out(0);
  const DType type = image_type(a);
  check.tensor(a, "a", type);
  check.tensor(b, "b", type);
  check.tensor(y, "output", type);
  check.require(broadcasts_to(a.shape, y.shape) && broadcasts_to(b.shape, y.shape), Code::kShape,
                shape_text(a.shape) + " and " + shape_text(b.shape) + " do not broadcast to " + shape_text(y.shape));
  const bool same = a.shape == b.shape && a.layout == b.layout && a.shape == y.shape && a.layout == y.layout;
  const bool all_plain = a.layout == Layout::kPlain && b.layout == Layout::kPlain && y.layout == Layout::kPlain;
  check.require(same || all_plain, Code::kShape, "operands that broadcast must be plain");
  // With the result no larger than what its axes ask for: an axis that both operands repeat would be read past its end.
  for (size_t i = 0; check.ok() && i < y.shape.size(); ++i) {
    const size_t from_end = y.shape.size() - i;
    const int64_t a_side = from_end <= a.shape.size() ? a.shape[a.shape.size() - from_end] : 1;
    const int64_t b_side = from_end <= b.shape.size() ? b.shape[b.shape.size() - from_end] : 1;
    check.require(y.shape[i] == std::max(a_side, b_side), Code::kShape, "the result has shape " + shape_text(y.shape));
  }
  FOVEA_RETURN_IF_ERROR(check.status());
  if (type == DType::kBfloat16)
    operation->reset(new Broadcast<Bfloat16>(pick(*eltwise_bf16_kernels()), merge_axes(a, b, y)));
  else
    operation->reset(new Broadcast<float>(pick(eltwise_kernels()), merge_axes(a, b, y)));
  return {};
}

}  // namespace

Status make_add(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  return make_binary(spec, [](const auto& kernels) { return kernels.add; }, operation);
}
Status make_sub(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  return make_binary(spec, [](const auto& kernels) { return kernels.sub; }, operation);
}
Status make_mul(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  return make_binary(spec, [](const auto& kernels) { return kernels.mul; }, operation);
}

}  // namespace fovea
