// reshape: the same elements under another shape. assign: the same elements in another place.
#include <cstring>

#include "ops/check.h"
#include "ops/operations.h"
#include "ops/parallel.h"

namespace fovea {
namespace {

class Copy : public Operation {
 public:
  explicit Copy(int64_t bytes) : bytes_(bytes) {}

  Status run(const RunContext& context) const override {
    const char* const x = context.in<char>(0);
    char* const y = context.out<char>(0);
    if (x == y) return {};
    return for_ranges(context, bytes_, kBytes,
                      [&](int64_t begin, int64_t end) { std::memmove(y + begin, x + begin, size_t(end - begin)); });
  }
  std::string describe() const override { return describe_kernel("copy", "memmove", ceil_div(bytes_, kBytes)); }

 private:
  static constexpr int64_t kBytes = 4 * kGrain;
  int64_t bytes_;
};

}  // namespace

Status make_reshape(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  SpecCheck check(spec, 1, 1);
  const Operand &x = check.in(0), &y = check.out(0);
  check.plain(x, "x", x.dtype);
  check.plain(y, "y", x.dtype);
  check.require(count(x.shape) == count(y.shape), Code::kShape,
                shape_text(x.shape) + " and " + shape_text(y.shape) + " differ in size");
  FOVEA_RETURN_IF_ERROR(check.status());
  operation->reset(new Copy(int64_t(x.bytes())));
  return {};
}

Status make_assign(const OpSpec& spec, std::unique_ptr<Operation>* operation) {
  SpecCheck check(spec, 1, 1);
  const Operand& x = check.in(0);
  check.tensor(x, "x", x.dtype);
  check.like(check.out(0), "target", x, x.dtype);
  FOVEA_RETURN_IF_ERROR(check.status());
  operation->reset(new Copy(int64_t(x.bytes())));
  return {};
}

}  // namespace fovea
