// An operation that is fast but gives Inf or NaN where the plain float32 sum might not, and the plain one behind it:
// for values near the largest float32 or beyond, which the fast way splits, rounds or transforms. They are rare, so the
// whole operation is done again.
#pragma once
#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "ops/conv_epilogue.h"

namespace fovea {

// What a fast operation reports by.
inline bool finite(const float* x, int64_t count) {
  float rest = 0;  // x - x is 0 for every finite x and NaN for the others
  for (int64_t i = 0; i < count; ++i) rest += x[i] - x[i];
  return rest == 0;
}
inline void report_not_finite(const RunContext& context) {
  if (context.not_finite) context.not_finite->store(true, std::memory_order_relaxed);
}

// The spec of an operation behind another, which keeps nothing.
inline OpSpec plain_spec(OpSpec spec) {
  for (Operand& input : spec.inputs) input.steady = false;
  return spec;
}

class Guarded : public Operation {
 public:
  // `fast` reports through RunContext::not_finite. Only it may keep something.
  Guarded(std::unique_ptr<Operation> fast, std::unique_ptr<Operation> plain)
      : fast_(std::move(fast)), plain_(std::move(plain)) {}

  size_t workspace_bytes() const override { return std::max(fast_->workspace_bytes(), plain_->workspace_bytes()); }
  Kept kept() const override { return fast_->kept(); }

  Status run(const RunContext& context) const override {
    std::atomic<bool> not_finite{false};
    RunContext watched = context;
    watched.not_finite = &not_finite;
    FOVEA_RETURN_IF_ERROR(fast_->run(watched));
    if (!not_finite.load(std::memory_order_relaxed)) return {};
    if (context.holds) return {Code::kStale, "the plain sum needs the weights"};
    if (context.epilogue) context.epilogue->restart();
    return plain_->run(context);
  }

  int64_t epilogue_slots() const override {
    const int64_t fast = fast_->epilogue_slots(), plain = plain_->epilogue_slots();
    return fast == 0 || plain == 0 ? 0 : std::max(fast, plain);
  }

  std::vector<std::vector<double>> loops() const override { return fast_->loops(); }
  std::string describe() const override { return fast_->describe(); }

 private:
  std::unique_ptr<Operation> fast_, plain_;
};

}  // namespace fovea
