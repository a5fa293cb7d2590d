// The one template behind layout.h: squares of kLanes x kLanes are transposed in registers.
#pragma once
#include "kernels/layout/layout.h"
#include "simd/macros.h"

namespace fovea {
namespace layout {

template <class V>
void to_blocked(const float* plain, int64_t channel_stride, int channels, int64_t pixels, float* blocked) {
  constexpr int L = V::kLanes;
  for (int64_t i = 0; i < pixels; i += L) {
    const int n = pixels - i < L ? int(pixels - i) : L;
    for (int c = 0; c < 16; c += L) {
      V rows[L];
      UNROLL for (int j = 0; j < L; ++j) {
        const float* const p = plain + (c + j) * channel_stride + i;
        rows[j] = c + j >= channels ? V::zero() : n == L ? V::load(p) : V::load_partial(p, n);
      }
      if (c < channels) transpose(rows);
      float* const out = blocked + i * 16 + c;
      if (n == L) {
        UNROLL for (int j = 0; j < L; ++j)
          rows[j].store(out + j * 16);
      } else {
        UNROLL for (int j = 0; j < L; ++j)
          if (j < n) rows[j].store(out + j * 16);
      }
    }
  }
}

template <class V>
void from_blocked(const float* blocked, int64_t channel_stride, int channels, int64_t pixels, float* plain) {
  constexpr int L = V::kLanes;
  for (int64_t i = 0; i < pixels; i += L) {
    const int n = pixels - i < L ? int(pixels - i) : L;
    for (int c = 0; c < channels; c += L) {
      V rows[L];
      const float* const in = blocked + i * 16 + c;
      UNROLL for (int j = 0; j < L; ++j)
        rows[j] = j < n ? V::load(in + j * 16) : V::zero();
      transpose(rows);
      UNROLL for (int j = 0; j < L; ++j) {
        float* const p = plain + (c + j) * channel_stride + i;
        if (c + j >= channels) continue;
        if (n == L) {
          rows[j].store(p);
        } else {
          rows[j].store_partial(p, n);
        }
      }
    }
  }
}

// Of a row of at least one vector: the last vector of each part overlaps the one before, and zeros what then follows.
template <class V, int kStep>
FOVEA_INLINE void pad_row(const float* from, const PaddedRows& row, float* to) {
  constexpr int L = V::kLanes;
  const int64_t last = row.pitch - L, end = row.before + row.count;
  for (int64_t i = 0; i < row.before; i += L) V::zero().store(to + (i < last ? i : last));
  for (int64_t i = end; i < row.pitch; i += L) V::zero().store(to + (i < last ? i : last));
  const auto copy = [&](int64_t i, bool whole) {
    const float* const p = from + i * kStep;
    if (kStep == 1)
      V::load(p).store(to + row.before + i);
    else  // the value behind the last need not exist
      even_lanes(V::load(p), whole ? V::load(p + L) : V::load_partial(p + L, L - 1)).store(to + row.before + i);
  };
  int64_t i = 0;
  for (; i + L < row.count; i += L) copy(i, true);
  copy(row.count - L, false);
}

template <class V>
void pad_rows(const float* from, int64_t from_row, int64_t rows, const PaddedRows& row, float* to) {
  const PaddedRows own = row;
  for (int64_t r = 0; r < rows; ++r, from += from_row, to += own.pitch) {
    if (own.count >= V::kLanes) {
      own.step == 1 ? pad_row<V, 1>(from, own, to) : pad_row<V, 2>(from, own, to);
      continue;
    }
    for (int64_t i = 0; i < own.pitch; ++i) {
      const int64_t at = i - own.before;
      to[i] = at >= 0 && at < own.count ? from[at * own.step] : 0;
    }
  }
}

// Whole vectors: what is too much the next tap writes over. With stores of the channels alone weight gradients took
// 1.12 to 1.2 times as long (Zen 5).
template <class V>
void join_taps(const float* from, const JoinedRow& row, float* to) {
  const JoinedRow own = row;
  for (int64_t i = 0; i < own.outputs; ++i, from += own.step) {
    for (int64_t tap = 0; tap < own.taps; ++tap, to += own.channels) {
      for (int64_t lane = 0; lane < own.channels; lane += V::kLanes)
        V::load(from + own.at[tap] + lane).store(to + lane);
    }
  }
}

template <class V, bool kAdd>
void take_lanes_as(const float* from, const int32_t* lanes, int64_t pixels, float* to) {
  constexpr int L = V::kLanes;
  for (int64_t i = 0; i < pixels; ++i, from += 16, to += 16) {
    UNROLL for (int part = 0; part < 16; part += L) {
      const V taken = V::taken(from, lanes + part);
      (kAdd ? V::load(to + part) + taken : taken).store(to + part);
    }
  }
}

template <class V>
void take_lanes(const float* from, const int32_t* lanes, int64_t pixels, bool add, float* to) {
  add ? take_lanes_as<V, true>(from, lanes, pixels, to) : take_lanes_as<V, false>(from, lanes, pixels, to);
}

template <class V, class From, class To>
void convert(const From* from, int64_t count, To* to) {
  constexpr int L = V::kLanes;
  int64_t i = 0;
  for (; i + L <= count; i += L) V::load(from + i).store(to + i);
  if (i < count) V::load_partial(from + i, int(count - i)).store_partial(to + i, int(count - i));
}

template <class V>
constexpr LayoutKernels instance(const char* isa) {
  return {isa, to_blocked<V>, from_blocked<V>, pad_rows<V>, join_taps<V>, take_lanes<V>};
}

template <class V>
constexpr LayoutBf16Kernels bf16_instance() {
  return {convert<V, float, Bfloat16>, convert<V, Bfloat16, float>};
}

}  // namespace layout
}  // namespace fovea
