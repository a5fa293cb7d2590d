#include "ops/matvec.h"

#include <algorithm>

#include "cpu/features.h"
#include "kernels/matvec/matvec.h"
#include "ops/parallel.h"

namespace fovea {

namespace {

// The few rows are A's or, Cᵀ = Bᵀ·Aᵀ, the few columns are B's.
bool few_columns(const GemmProblem& p) { return p.m > kMatvecRows && p.n <= kMatvecRows && !p.bias; }

GemmProblem upright(const GemmProblem& problem) {
  GemmProblem p = few_columns(problem) ? problem.transposed() : problem;
  if (p.m == 1 && p.a_row == 1) p.a_row = p.k * p.a_column;  // a single row has no stride
  if (p.n == 1 && p.b_column == 1) p.b_column = p.k * p.b_row;
  return p;
}

class Matvec : public Operation {
 public:
  Matvec(const GemmProblem& problem, int threads)
      : problem_(upright(problem)), swapped_(few_columns(problem)), dots_(problem_.b_row == 1) {
    const int64_t columns = ceil_div(problem_.n, kBlock), products = static_cast<int64_t>(problem_.a_batch.size());
    // One part for each thread while the parts stay in the threads' caches from run to run, more beyond. No bits depend
    // on it.
    const double bytes = 4 * static_cast<double>(problem_.k) * static_cast<double>(problem_.n);
    const bool stays =
        bytes * static_cast<double>(products) < 0.8 * static_cast<double>(cpu_features().l2_bytes) * threads;
    const int64_t wanted = ceil_div(stays ? threads : 4 * int64_t{threads}, products);
    const int64_t worth = std::max<int64_t>(1, static_cast<int64_t>(bytes / 4 / kGrain));
    task_columns_ = ceil_div(columns, std::min(wanted, worth)) * kBlock;
    splits_ = ceil_div(problem_.n, task_columns_);
  }

  Status run(const RunContext& context) const override {
    const GemmProblem& p = problem_;
    const float *a = p.a(context), *b = p.b(context), *bias = p.bias_of(context);
    float* c = context.out<float>(0);
    const int64_t products = static_cast<int64_t>(p.a_batch.size());
    return for_tasks(
        context, products * splits_,
        [&](int64_t index) {
          const int64_t product = index / splits_, column = index % splits_ * task_columns_;
          MatvecCall call{};
          call.m = p.m, call.n = std::min(task_columns_, p.n - column), call.k = p.k;
          call.a = a + p.a_batch[static_cast<size_t>(product)];
          call.a_row = p.a_row;
          call.b = b + p.b_batch[static_cast<size_t>(product)] + column * p.b_column;
          call.b_step = dots_ ? p.b_column : p.b_row;
          call.c_row = swapped_ ? 1 : p.n;
          call.c_column = swapped_ ? p.m : 1;
          call.c = c + product * p.m * p.n + column * call.c_column;
          call.bias = p.bias ? bias + column : nullptr;
          call.relu = p.relu;
          (dots_ ? matvec_kernels().dots : matvec_kernels().sums)(call);
        },
        nanoseconds_of(static_cast<double>(products) * static_cast<double>(p.k) * static_cast<double>(p.n)));
  }

  std::string describe() const override {
    return std::string("matvec: ") + matvec_kernels().isa + (dots_ ? ", dot products" : ", sums of rows") +
           (swapped_ ? ", transposed" : "") + ", tasks " +
           std::to_string(splits_ * static_cast<int64_t>(problem_.a_batch.size()));
  }

 private:
  GemmProblem problem_;
  bool swapped_, dots_;
  int64_t task_columns_ = 1, splits_ = 1;
};

}  // namespace

bool supports_matvec(const OpSpec&, const GemmProblem& problem) {
  const GemmProblem p = upright(problem);
  const bool dots = p.b_row == 1, sums = p.b_column == 1 && (p.m == 1 || !few_columns(problem));
  return p.m <= kMatvecRows && p.a_column == 1 && (dots || sums);
}

Status make_matvec(const OpSpec& spec, const GemmProblem& problem, std::unique_ptr<Operation>* operation) {
  *operation = std::make_unique<Matvec>(problem, spec.threads);
  return {};
}

}  // namespace fovea
