// linear (x [..., in], weight [out, in], bias? [out]) -> y [..., out] = act(x·weightᵀ + bias)
// linearGradWeight (x [..., in], dy [..., out]) -> dw [out, in] = dyᵀ·x, db? [out] = Σ rows of dy
#include "ops/check.h"
#include "ops/matrix_product.h"
#include "ops/operations.h"
#include "ops/parallel.h"

namespace fovea {
namespace {

// The gradient of the bias after that of the weight.
class WithGradBias : public Operation {
 public:
  WithGradBias(std::unique_ptr<Operation> product, int64_t rows, int64_t out)
      : product_(std::move(product)), rows_(rows), out_(out) {}
  size_t workspace_bytes() const override { return product_->workspace_bytes(); }
  Status run(const RunContext& context) const override {
    FOVEA_RETURN_IF_ERROR(product_->run(context));
    const float* dy = context.in<float>(1);
    float* db = context.out<float>(1);
    constexpr int64_t kColumns = 64;  // sums of one task, in double
    const auto add = [&](int64_t task) {
      const int64_t first = task * kColumns, last = std::min(out_, first + kColumns);
      double sums[kColumns] = {};
      for (int64_t row = 0; row < rows_; ++row) {
        for (int64_t i = first; i < last; ++i) sums[i - first] += dy[row * out_ + i];
      }
      for (int64_t i = first; i < last; ++i) db[i] = static_cast<float>(sums[i - first]);
    };
    return for_tasks(context, ceil_div(out_, kColumns), add, nanoseconds_of(static_cast<double>(rows_ * out_)));
  }
  std::string describe() const override { return product_->describe(); }

 private:
  std::unique_ptr<Operation> product_;
  int64_t rows_, out_;
};

// All axes but the last.
int64_t row_count(const Operand& operand) { return count(operand.shape) / operand.shape.back(); }

std::vector<int64_t> with_last(const Operand& operand, int64_t last) {
  std::vector<int64_t> shape = operand.shape;
  shape.back() = last;
  return shape;
}

}  // namespace

Status make_linear(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  SpecCheck check(spec, 3, 1);
  const Operand &x = check.in(0), &weight = check.in(1), &bias = check.in(2), &y = check.out(0);
  check.plain(x, "x");
  check.plain(weight, "weight");
  check.plain(y, "y");
  check.require(!x.shape.empty() && weight.shape.size() == 2, Code::kShape, "x must have an axis and weight two");
  if (!check.ok()) return check.status();
  GemmProblem problem;
  problem.m = row_count(x), problem.n = weight.shape[0], problem.k = weight.shape[1];
  check.require(x.shape.back() == problem.k, Code::kShape,
                "x " + shape_text(x.shape) + " must end in the columns of weight " + shape_text(weight.shape));
  check.shape(y, "y", with_last(x, problem.n));
  check.vector(bias, "bias", problem.n);
  const std::string activation = spec.attributes.text("activation");
  check.require(activation == "none" || activation == "relu", Code::kOption, "unknown activation '" + activation + "'");
  FOVEA_RETURN_IF_ERROR(check.status());
  problem.a_row = problem.k, problem.a_column = 1;
  problem.b_row = 1, problem.b_column = problem.k;
  problem.bias = bias.present;
  problem.relu = activation == "relu";
  return make_product(spec, problem, operation);
}

Status make_linearGradWeight(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  SpecCheck check(spec, 2, 2);
  const Operand &x = check.in(0), &dy = check.in(1), &dw = check.out(0), &db = check.out(1);
  check.plain(x, "x");
  check.plain(dy, "dy");
  check.plain(dw, "dw");
  check.require(!x.shape.empty() && !dy.shape.empty(), Code::kShape, "x and dy must have an axis");
  if (!check.ok()) return check.status();
  GemmProblem problem;
  problem.m = dy.shape.back(), problem.n = x.shape.back(), problem.k = row_count(x);
  check.shape(dy, "dy", with_last(x, problem.m));
  check.shape(dw, "dw", {problem.m, problem.n});
  check.vector(db, "db", problem.m);
  FOVEA_RETURN_IF_ERROR(check.status());
  problem.a_row = 1, problem.a_column = problem.m;
  problem.b_row = problem.n, problem.b_column = 1;
  problem.a_input = 1, problem.b_input = 0;
  FOVEA_RETURN_IF_ERROR(make_product(spec, problem, operation));
  if (db.present) *operation = std::make_unique<WithGradBias>(std::move(*operation), problem.k, problem.m);
  return {};
}

}  // namespace fovea
