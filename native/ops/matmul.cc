// matmul (a [..., M, K], b [..., K, N]) -> y [..., M, N]; transposed operands have their last two axes swapped; leading
// axes broadcast.
#include "ops/check.h"
#include "ops/matrix_product.h"
#include "ops/operations.h"

namespace fovea {
namespace {

// The matrix of `operand` that belongs to product `index` of the batch with these leading axes.
int64_t batch_offset(const Operand& operand, const std::vector<int64_t>& leading, int64_t index) {
  const size_t rank = operand.shape.size() - 2;
  int64_t offset = 0, stride = operand.shape[rank] * operand.shape[rank + 1];
  for (size_t i = 0; i < leading.size(); ++i) {
    const int64_t at = index % leading[leading.size() - 1 - i];
    index /= leading[leading.size() - 1 - i];
    if (i >= rank) continue;
    const int64_t side = operand.shape[rank - 1 - i];
    if (side != 1) offset += at * stride;
    stride *= side;
  }
  return offset;
}

}  // namespace

Status make_matmul(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  SpecCheck check(spec, 2, 1);
  const Operand &a = check.in(0), &b = check.in(1), &y = check.out(0);
  const bool transpose_a = spec.attributes.integer("transposeA") != 0,
             transpose_b = spec.attributes.integer("transposeB") != 0;
  check.plain(a, "a");
  check.plain(b, "b");
  check.plain(y, "y");
  check.require(
      a.shape.size() >= 2 && b.shape.size() >= 2 && y.shape.size() == std::max(a.shape.size(), b.shape.size()),
      Code::kShape, "a and b must have at least two axes, y as many as the longer of them");
  if (!check.ok()) return check.status();

  const size_t leading_rank = y.shape.size() - 2;
  const std::vector<int64_t> leading(y.shape.begin(), y.shape.begin() + static_cast<ptrdiff_t>(leading_rank));
  for (size_t i = 0; i < leading_rank; ++i) {
    for (const Operand* operand : {&a, &b}) {
      const size_t missing = y.shape.size() - operand->shape.size();
      const int64_t side = i < missing ? 1 : operand->shape[i - missing];
      check.require(side == 1 || side == leading[i], Code::kShape,
                    "leading axes do not broadcast to " + shape_text(y.shape));
    }
  }
  const int64_t *am = &a.shape[a.shape.size() - 2], *bm = &b.shape[b.shape.size() - 2], *ym = &y.shape[leading_rank];
  GemmProblem problem;
  problem.m = am[transpose_a ? 1 : 0], problem.k = am[transpose_a ? 0 : 1], problem.n = bm[transpose_b ? 0 : 1];
  check.require(bm[transpose_b ? 1 : 0] == problem.k && ym[0] == problem.m && ym[1] == problem.n, Code::kShape,
                "matrices of " + shape_text(a.shape) + " and " + shape_text(b.shape) + " do not multiply to " +
                    shape_text(y.shape));
  FOVEA_RETURN_IF_ERROR(check.status());
  problem.a_row = transpose_a ? 1 : am[1], problem.a_column = transpose_a ? am[1] : 1;
  problem.b_row = transpose_b ? 1 : bm[1], problem.b_column = transpose_b ? bm[1] : 1;
  const int64_t batches = count(leading);
  problem.a_batch.clear();
  problem.b_batch.clear();
  for (int64_t i = 0; i < batches; ++i) {
    problem.a_batch.push_back(batch_offset(a, leading, i));
    problem.b_batch.push_back(batch_offset(b, leading, i));
  }
  // One matrix on the right for a whole batch on the left is one tall product.
  if (batches > 1 && !transpose_a && count(b.shape) == bm[0] * bm[1] && count(a.shape) == batches * am[0] * am[1]) {
    problem.m *= batches;
    problem.a_batch = problem.b_batch = {0};
  }
  return make_product(spec, problem, operation);
}

}  // namespace fovea
