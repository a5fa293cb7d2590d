// How images lie in memory: one block of 16 channels between [C][pixels] (channel c at c * channel_stride) and
// [pixels][16], and values between float32 and bfloat16.
#pragma once
#include <stdint.h>

#include "simd/bfloat16.h"

namespace fovea {

// Rows of a plane that are copied with zeros around them: of `pitch` values each, `before` zeros, `count` >= 1 values
// that stand 1 or 2 apart (one alone: any), and zeros again.
struct PaddedRows {
  int64_t before, count, step, pitch;
};

// Outputs along a row of blocked pixels, `step` values apart, each with what `taps` taps read, from at[tap] on: the
// first `channels` lanes.
struct JoinedRow {
  const int64_t* at;
  int64_t taps, channels, outputs, step;
};

struct LayoutKernels {
  const char* isa;
  // Lanes from `channels` (1 to 16) on become zero.
  void (*to_blocked)(const float* plain, int64_t channel_stride, int channels, int64_t pixels, float* blocked);
  void (*from_blocked)(const float* blocked, int64_t channel_stride, int channels, int64_t pixels, float* plain);
  // to[r·pitch + before + i] = from[r·from_row + i·step], r < rows, i < count; the rest of each row is zero.
  void (*pad_rows)(const float* from, int64_t from_row, int64_t rows, const PaddedRows& row, float* to);
  // to[(i·taps + t)·channels + c] = from[i·step + at[t] + c], c < channels. May write up to 16 floats behind the last.
  void (*join_taps)(const float* from, const JoinedRow& row, float* to);
  // Of blocked pixels to[16·i + l] = from[16·i + lanes[l]], or 0 where lanes[l] is negative; `add`: to what stands
  // there.
  void (*take_lanes)(const float* from, const int32_t* lanes, int64_t pixels, bool add, float* to);
};

// `count` values from one form to the other, rounded to nearest even. round() may write where it reads.
struct LayoutBf16Kernels {
  void (*round)(const float* from, int64_t count, Bfloat16* to);
  void (*widen)(const Bfloat16* from, int64_t count, float* to);
};

const LayoutKernels& layout_kernels();
// Null where programs keep nothing as bfloat16: neither this family nor another has kernels for it there.
const LayoutBf16Kernels* layout_bf16_kernels();

extern const LayoutKernels layout_scalar, layout_avx2, layout_avx512;
extern const LayoutBf16Kernels layout_avx2bf16, layout_avx512soft, layout_avx512bf16;

}  // namespace fovea
