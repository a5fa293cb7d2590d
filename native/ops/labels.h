// Class labels of pixels: checked before anything is written, and once more where each is used, because the caller's
// array can change while we run.
#pragma once
#include <cstdint>

#include "ops/check.h"
#include "ops/parallel.h"

namespace fovea {

// Logits [N, C, ...] as [N][C][inner] and one label per (n, inner).
struct PixelShape {
  int64_t n = 1, classes = 1, inner = 1;

  int64_t pixels() const { return n * inner; }
  // A unit is one row of classes, or up to 16 neighbouring pixels of one image.
  int64_t column_groups() const { return inner == 1 ? 1 : blocks(inner); }
  int64_t units() const { return n * column_groups(); }
  int64_t per_task() const { return units_per_task(classes * (inner == 1 ? 1 : kBlock)); }
  int64_t tasks() const { return ceil_div(units(), per_task()); }
  int lanes(int64_t unit) const {
    return inner == 1 ? 1 : int(std::min<int64_t>(kBlock, inner - unit % column_groups() * kBlock));
  }
  int64_t first_pixel(int64_t unit) const { return unit / column_groups() * inner + unit % column_groups() * kBlock; }
  int64_t logit(int64_t unit) const {  // of the unit's first pixel, class 0; class c is c * inner further
    return unit / column_groups() * classes * inner + unit % column_groups() * kBlock;
  }
};

// logits float32 [N, C, ...], labels int32 [N, ...].
void check_pixels(SpecCheck& check, const Operand& logits, const Operand& labels, PixelShape* shape);

struct LabelCheck {
  static constexpr int64_t kChunk = 4 * kGrain;
  struct Part {
    int64_t bad;    // the first label that is out of range, or -1
    double weight;  // of the others that are not ignored
  };

  const int32_t* labels;
  int64_t count, classes;
  bool ignores;
  int64_t ignored;
  const float* weight;  // null: ones

  static int64_t parts(int64_t count) { return ceil_div(count, kChunk); }
  // kData "label 12 at 3 is outside 0..9", or the sum of weights. `parts` are parts(count) of them.
  Status run(const RunContext& context, const char* op, Part* parts, double* total) const;
};

}  // namespace fovea
