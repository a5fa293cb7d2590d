// Sums the broadcast axes away: y has x's rank or less, and 1 or nothing where it is summed. The gradient of
// broadcasting.
#include "kernels/reduce/reduce.h"
#include "ops/check.h"
#include "ops/operations.h"
#include "ops/parallel.h"

namespace fovea {
namespace {

struct Axis {
  int64_t size, step;  // in elements of x
};

int64_t product(const std::vector<Axis>& axes) {
  int64_t result = 1;
  for (const Axis& axis : axes) result *= axis.size;
  return result;
}

int64_t offset(const std::vector<Axis>& axes, int64_t index) {
  int64_t result = 0;
  for (size_t i = axes.size(); i-- > 0; index /= axes[i].size) result += index % axes[i].size * axes[i].step;
  return result;
}

// x seen as kept and summed axes, neighbours of one kind merged. Either the innermost axis is summed (`run` floats that
// lie together become one number) or it is kept (`run` numbers are summed side by side).
struct SumPlan {
  std::vector<Axis> kept, summed;  // without the innermost axis, outermost first
  int64_t run = 1;
  bool run_is_summed = false;
};

SumPlan plan_sum(const std::vector<int64_t>& x, const std::vector<int64_t>& y) {
  std::vector<Axis> axes;
  std::vector<bool> sums;
  for (size_t i = 0; i < x.size(); ++i) {
    if (x[i] == 1) continue;
    const size_t from_end = x.size() - i;
    const bool is_summed = from_end > y.size() || y[y.size() - from_end] == 1;
    if (!axes.empty() && sums.back() == is_summed) {
      axes.back().size *= x[i];
    } else {
      axes.push_back({x[i], 0});
      sums.push_back(is_summed);
    }
  }
  if (axes.empty()) axes.push_back({1, 1}), sums.push_back(false);
  SumPlan plan;
  plan.run = axes.back().size, plan.run_is_summed = sums.back();
  int64_t step = plan.run;
  for (size_t i = axes.size() - 1; i-- > 0; step *= axes[i].size) axes[i].step = step;
  for (size_t i = 0; i + 1 < axes.size(); ++i) (sums[i] ? plan.summed : plan.kept).push_back(axes[i]);
  return plan;
}

class SumTo : public Operation {
 public:
  explicit SumTo(SumPlan plan) : plan_(std::move(plan)) {
    slots_ = product(plan_.kept);
    width_ = plan_.run_is_summed ? 1 : plan_.run;
    segments_ = plan_.run_is_summed ? ceil_div(plan_.run, kSegment) : 1;
    terms_ = product(plan_.summed) * segments_;
    const int64_t term_floats = plan_.run_is_summed ? std::min(plan_.run, kSegment) : plan_.run;
    // Few pieces: each has a row of partial sums that somebody has to add up.
    terms_per_piece_ = std::max(ceil_div(2 * kGrain, term_floats), ceil_div(terms_, kMostPieces));
    pieces_ = ceil_div(terms_, terms_per_piece_);
    slots_per_task_ = units_per_task(std::min(terms_, terms_per_piece_) * term_floats);
  }

  size_t workspace_bytes() const override { return size_t(pieces_ * slots_ * width_) * sizeof(double); }

  Status run(const RunContext& context) const override {
    const float* const x = context.in<float>(0);
    float* const y = context.out<float>(0);
    double* const partial = reinterpret_cast<double*>(context.workspace);  // [pieces][slots][width]
    const int64_t groups = ceil_div(slots_, slots_per_task_);
    FOVEA_RETURN_IF_ERROR(for_tasks(context, pieces_ * groups, [&](int64_t task) {
      const int64_t piece = task / groups, first = task % groups * slots_per_task_;
      for (int64_t slot = first; slot < std::min(slots_, first + slots_per_task_); ++slot) {
        sum_piece(x + offset(plan_.kept, slot), piece, partial + (piece * slots_ + slot) * width_);
      }
    }));
    const int64_t outputs = slots_ * width_;
    return for_ranges(context, outputs, units_per_task(pieces_), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        double total = 0;
        for (int64_t piece = 0; piece < pieces_; ++piece) total += partial[piece * outputs + i];
        y[i] = float(total);
      }
    });
  }
  std::string describe() const override {
    return describe_kernel("reduce", kernels_.isa, pieces_ * ceil_div(slots_, slots_per_task_));
  }

 private:
  static constexpr int64_t kSegment = 2 * kGrain, kMostPieces = 64;

  void sum_piece(const float* x, int64_t piece, double* sums) const {
    std::fill(sums, sums + width_, 0.0);
    const int64_t end = std::min(terms_, (piece + 1) * terms_per_piece_);
    // The innermost summed axis steps evenly: as many rows as it still has go to the kernel at once.
    const int64_t inner = plan_.summed.empty() ? 1 : plan_.summed.back().size;
    const int64_t step = plan_.summed.empty() ? 0 : plan_.summed.back().step;
    for (int64_t term = piece * terms_per_piece_; term < end;) {
      if (plan_.run_is_summed) {
        const int64_t from = term % segments_ * kSegment;
        sums[0] +=
            kernels_.row_sum(x + offset(plan_.summed, term / segments_) + from, std::min(kSegment, plan_.run - from));
        ++term;
      } else {
        const int64_t rows = std::min(end - term, inner - term % inner);
        kernels_.column_sums(x + offset(plan_.summed, term), rows, step, width_, sums);
        term += rows;
      }
    }
  }

  SumPlan plan_;
  int64_t slots_ = 1, width_ = 1, segments_ = 1, terms_ = 1, terms_per_piece_ = 1, pieces_ = 1, slots_per_task_ = 1;
  const ReduceKernels& kernels_ = reduce_kernels();
};

}  // namespace

Status make_sumTo(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  SpecCheck check(spec, 1, 1);
  const Operand &x = check.in(0), &y = check.out(0);
  check.plain(x, "x");
  check.plain(y, "output");
  bool good = y.shape.size() <= x.shape.size();
  const size_t lead = good ? x.shape.size() - y.shape.size() : 0;
  for (size_t i = 0; good && i < y.shape.size(); ++i) good = y.shape[i] == 1 || y.shape[i] == x.shape[lead + i];
  check.require(good, Code::kShape, shape_text(x.shape) + " cannot be summed to " + shape_text(y.shape));
  FOVEA_RETURN_IF_ERROR(check.status());
  operation->reset(new SumTo(plan_sum(x.shape, y.shape)));
  return {};
}

}  // namespace fovea
