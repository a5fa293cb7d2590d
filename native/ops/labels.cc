#include "ops/labels.h"

namespace fovea {

void check_pixels(SpecCheck& check, const Operand& logits, const Operand& labels, PixelShape* shape) {
  check.plain(logits, "logits");
  check.plain(labels, "labels", DType::kInt32);
  check.require(logits.shape.size() >= 2, Code::kShape,
                "logits must have at least 2 axes, got " + shape_text(logits.shape));
  if (!check.ok()) return;
  std::vector<int64_t> expected = logits.shape;
  expected.erase(expected.begin() + 1);
  check.shape(labels, "labels", expected);
  check.require(logits.shape[1] <= INT32_MAX, Code::kShape, "too many classes");
  *shape = {logits.shape[0], logits.shape[1], count(logits.shape, 2)};
}

Status LabelCheck::run(const RunContext& context, const char* op, Part* found, double* total) const {
  FOVEA_RETURN_IF_ERROR(for_tasks(context, parts(count), [&](int64_t task) {
    Part part{-1, 0};
    for (int64_t i = task * kChunk; i < std::min(count, (task + 1) * kChunk); ++i) {
      const int32_t label = labels[i];
      if (ignores && label == ignored) continue;
      if (label < 0 || label >= classes) {
        part.bad = i;
        break;
      }
      part.weight += weight ? double(weight[label]) : 1.0;
    }
    found[task] = part;
  }));
  *total = 0;
  for (int64_t task = 0; task < parts(count); ++task) {
    if (found[task].bad >= 0) {
      return {Code::kData, std::string(op) + ": label " + std::to_string(labels[found[task].bad]) + " at " +
                               std::to_string(found[task].bad) + " is outside 0.." + std::to_string(classes - 1)};
    }
    *total += found[task].weight;
  }
  return {};
}

}  // namespace fovea
