#include <string.h>

#include "kernels/bf16/bf16.h"
#include "simd/vec_avx512bf16.h"

namespace fovea {
namespace {

using namespace simd::avx512bf16;

// Rounded pixels are asked for so many before their turn, a KiB: they were mostly written long before, and packing them
// takes 0.94 of the time with it (seven layers on a CPU with AMX, single ones 0.77 to 1.03).
constexpr ptrdiff_t kPixelsAhead = 32;

// The planes of thirty-two values.
template <int P>
struct Split {
  Halves plane[P];

  FOVEA_INLINE Split(F32 low, F32 high) {
    UNROLL for (int p = 0; p < P; ++p) {
      plane[p] = Half::of(low, high);
      if (p + 1 < P) low = low - lower(plane[p]).widened(), high = high - upper(plane[p]).widened();
    }
  }
};

template <int P>
void pixels(const float* first, const float* second, ptrdiff_t step, ptrdiff_t count, float* words, ptrdiff_t plane) {
  const auto add = [&](F32 low, F32 high) {
    const Split<P> split(low, high);
    UNROLL for (int p = 0; p < P; ++p)
      store(split.plane[p], words + p * plane);
    words += 16;
  };
  if (!second) {
    for (ptrdiff_t i = 0; i < count; ++i) add(F32::load(first + 16 * step * i), F32::zero());
    return;
  }
  for (ptrdiff_t i = 0; i < count; ++i) add(F32::load(first + 16 * step * i), F32::load(second + 16 * step * i));
}

template <int P>
void rows(const float* rows, ptrdiff_t count, float* words, ptrdiff_t plane) {
  for (ptrdiff_t q = 0; q < count; ++q, rows += 32, words += 16) {
    const Split<P> split(F32::load(rows), F32::load(rows + 16));
    UNROLL for (int p = 0; p < P; ++p)
      interleave(split.plane[p]).store(words + p * plane);
  }
}

// Pairs of pixels as words first, so that what is transposed is half as much.
template <int P>
void channels(const float* pixels, ptrdiff_t step, ptrdiff_t count, float* words, ptrdiff_t row, ptrdiff_t plane) {
  const auto at = [&](ptrdiff_t i) { return i < count ? F32::load(pixels + 16 * step * i) : F32::zero(); };
  for (ptrdiff_t i = 0; i < count; i += 32) {
    F32 square[P][16];
    UNROLL for (int j = 0; j < 16; ++j) {
      const Split<P> split(at(i + 2 * j), at(i + 2 * j + 1));
      UNROLL for (int p = 0; p < P; ++p)
        square[p][j] = interleave(split.plane[p]);
    }
    UNROLL for (int p = 0; p < P; ++p) {
      transpose(square[p]);
      UNROLL for (int c = 0; c < 16; ++c)
        square[p][c].store(words + c * row + i / 2 + p * plane);
    }
  }
}

void stored_pixels(const Bfloat16* first, const Bfloat16* second, ptrdiff_t step, ptrdiff_t count, float* words) {
  const ptrdiff_t later = 16 * step * kPixelsAhead;
  for (ptrdiff_t i = 0; i < count; ++i, words += 16) {
    const ptrdiff_t at = 16 * step * i;
    if (i % 2 == 0 || step > 1) ask_to_read(first + at + later);
    Half::load(first + at).store(words);
    if (second && (i % 2 == 0 || step > 1)) ask_to_read(second + at + later);
    (second ? Half::load(second + at) : Half::of(F32::zero())).store(words + 8);
  }
}

void stored_rows(const Bfloat16* rows, ptrdiff_t count, float* words) {
  for (ptrdiff_t q = 0; q < count; ++q, rows += 32, words += 16) interleave(load_halves(rows)).store(words);
}

void join_taps(const Bfloat16* from, const JoinedRow& row, float* words) {
  const JoinedRow own = row;
  for (int64_t i = 0; i < own.outputs; ++i, from += 2 * own.step) {
    for (int64_t tap = 0; tap < own.taps; ++tap, words += own.channels) {
      const Bfloat16* const at = from + own.at[tap];
      const Pairs pair = own.step == 16 ? Pairs::of_neighbours(at) : Pairs::of(at, at + own.step);
      store(Halves{pair.v}, words);
    }
  }
}

void stored_channels(const Bfloat16* pixels, ptrdiff_t count, float* words, ptrdiff_t row) {
  for (ptrdiff_t i = 0; i < count; i += 32) {
    F32 square[16];
    UNROLL for (int j = 0; j < 16; ++j) {
      const ptrdiff_t at = i + 2 * j;
      square[j] = at + 1 < count ? interleave(load_halves(pixels + 16 * at))
                  : at < count   ? interleave(lower_alone(Half::load(pixels + 16 * at)))
                                 : F32::zero();
    }
    transpose(square);
    UNROLL for (int c = 0; c < 16; ++c)
      square[c].store(words + c * row + i / 2);
  }
}

constexpr int kLines = 16, kDepths = 32;  // of a square

// A word for each pair of depths: of one line side by side (kAlong) or of all lines, and transposed or as they come.
template <int P, bool kAlong, bool kTurned>
FOVEA_INLINE void whole_square(const float* from, ptrdiff_t line, ptrdiff_t depth, float* words, ptrdiff_t plane) {
  F32 rows[P][16];
  UNROLL for (int i = 0; i < 16; ++i) {
    const float* const low = kAlong ? from + i * line : from + 2 * i * depth;
    const Split<P> split(F32::load(low), F32::load(low + (kAlong ? 16 : depth)));
    UNROLL for (int p = 0; p < P; ++p)
      rows[p][i] = kAlong ? as_words(split.plane[p]) : interleave(split.plane[p]);
  }
  UNROLL for (int p = 0; p < P; ++p) {
    if (kTurned) transpose(rows[p]);
    UNROLL for (int i = 0; i < 16; ++i)
      rows[p][i].store(words + 16 * i + p * plane);
  }
}

template <int P>
void square(const float* from, ptrdiff_t line, ptrdiff_t depth, int lines, int depths, bool by_line, float* words,
            ptrdiff_t plane) {
  alignas(64) float whole[kLines * kDepths];
  if (lines < kLines || depths < kDepths) {
    // The same square with zeros beyond its edges, its steps as they are: 1 stays 1.
    const ptrdiff_t to_line = depth == 1 ? kDepths : 1, to_depth = depth == 1 ? 1 : kLines;
    memset(whole, 0, sizeof(whole));
    for (int i = 0; i < lines; ++i) {
      for (int q = 0; q < depths; ++q) whole[i * to_line + q * to_depth] = from[i * line + q * depth];
    }
    from = whole, line = to_line, depth = to_depth;
  }
  if (depth == 1) {
    by_line ? whole_square<P, true, false>(from, line, depth, words, plane)
            : whole_square<P, true, true>(from, line, depth, words, plane);
  } else {
    by_line ? whole_square<P, false, true>(from, line, depth, words, plane)
            : whole_square<P, false, false>(from, line, depth, words, plane);
  }
}

// One pair of depths of all lanes, `n` taps that lie side by side: rows[p][t] becomes the words of tap t. Pairs first,
// so that what is transposed is half as much.
template <int P, bool kWhole>
FOVEA_INLINE void pair_of_depths(const float* from, ptrdiff_t lane, ptrdiff_t depth, int lanes, int depths, int n,
                                 F32 (*rows)[16]) {
  UNROLL for (int i = 0; i < 16; ++i) {
    const float* const at = from + i * lane;
    const bool low = kWhole || (i < lanes && depths > 0), high = kWhole || (i < lanes && depths > 1);
    const Split<P> split(low ? F32::load_partial(at, n) : F32::zero(),
                         high ? F32::load_partial(at + depth, n) : F32::zero());
    UNROLL for (int p = 0; p < P; ++p)
      rows[p][i] = interleave(split.plane[p]);
  }
  UNROLL for (int p = 0; p < P; ++p)
    transpose(rows[p]);
}

// Of an input gradient lanes lie side by side and depths are filters, each in pages of its own: asks for the next pair
// of them but one. A single image's layer of 512 channels took 1.1 times as long without (Zen 5).
FOVEA_INLINE void ask_for_later(const float* pair, ptrdiff_t lane, ptrdiff_t depth, int lanes, int depths) {
  constexpr int kPairs = 2;
  const ptrdiff_t run = lanes * lane;
  if (lane == 1 || depth < run || depths < 2 * kPairs + 2) return;
  const float* const later = pair + 2 * kPairs * depth;
  for (ptrdiff_t i = 0; i < run; i += 16) ask_to_read(later + i), ask_to_read(later + depth + i);
}

template <int P>
void weights(const float* from, ptrdiff_t lane, ptrdiff_t depth, int lanes, int depths, const int64_t* taps,
             ptrdiff_t count, ptrdiff_t all, float* words) {
  constexpr ptrdiff_t kPlane = kDepths / 2 * 16;
  for (ptrdiff_t first = 0; first < all; first += 16) {
    const int n = all - first < 16 ? int(all - first) : 16;
    float* panel[16] = {};  // of the taps that are wanted
    for (ptrdiff_t t = 0; t < count; ++t)
      if (taps[t] >= first && taps[t] < first + n) panel[taps[t] - first] = words + t * P * kPlane;
    for (int q = 0; q < kDepths / 2; ++q) {
      F32 rows[P][16];
      const float* const at = from + first + 2 * q * depth;
      ask_for_later(at, lane, depth, lanes, depths - 2 * q);
      if (lanes == kLines && depths >= 2 * q + 2)
        pair_of_depths<P, true>(at, lane, depth, lanes, 2, n, rows);
      else
        pair_of_depths<P, false>(at, lane, depth, lanes, depths - 2 * q, n, rows);
      UNROLL for (int t = 0; t < 16; ++t) {
        if (!panel[t]) continue;
        UNROLL for (int p = 0; p < P; ++p)
          rows[p][t].store(panel[t] + p * kPlane + 16 * q);
      }
    }
  }
}

// Where in a table of four lines of sixteen values each value of C interleaved lines stands.
template <int C>
struct InterleavedOrder {
  alignas(64) uint16_t from[2][32];
  constexpr InterleavedOrder() : from{} {
    for (int i = 0; i < 16 * C; ++i) from[i / 32][i % 32] = uint16_t(i % C * 16 + i / C);
  }
};

template <int P, int C>
void interleave_of(const float* lines, ptrdiff_t line, ptrdiff_t count, float* words, ptrdiff_t plane) {
  static constexpr InterleavedOrder<C> order;
  for (ptrdiff_t i = 0; i < count; i += 16, words += 8 * C) {
    const int rest = count - i < 16 ? int(count - i) : 16;
    const auto at = [&](int c) { return c < C ? F32::load_partial(lines + c * line + i, rest) : F32::zero(); };
    const Split<P> low(at(0), at(1)), high(at(2), at(3));
    UNROLL for (int p = 0; p < P; ++p) {
      float* const to = words + p * plane;
      if (C >= 2) store(pick(low.plane[p], order.from[0], high.plane[p]), to);
      if (C == 4) store(pick(low.plane[p], order.from[1], high.plane[p]), to + 16);
      if (C % 2 == 1) lower(pick(low.plane[p], order.from[C / 2], high.plane[p])).store(to + C / 2 * 16);
    }
  }
}

template <int P>
void interleave_lines(const float* lines, ptrdiff_t line, int count_of_lines, ptrdiff_t count, float* words,
                      ptrdiff_t plane) {
  static_assert(kInterleavedMost == 4, "one case for each");
  switch (count_of_lines) {
    case 1:
      return interleave_of<P, 1>(lines, line, count, words, plane);
    case 2:
      return interleave_of<P, 2>(lines, line, count, words, plane);
    case 3:
      return interleave_of<P, 3>(lines, line, count, words, plane);
    default:
      return interleave_of<P, 4>(lines, line, count, words, plane);
  }
}

#define BF16_BY_PLANES(name, ...) \
  planes == 1 ? name<1>(__VA_ARGS__) : planes == 2 ? name<2>(__VA_ARGS__) : name<3>(__VA_ARGS__)

void any_pixels(const float* first, const float* second, ptrdiff_t step, ptrdiff_t count, int planes, float* words,
                ptrdiff_t plane) {
  BF16_BY_PLANES(pixels, first, second, step, count, words, plane);
}
void any_rows(const float* from, ptrdiff_t count, int planes, float* words, ptrdiff_t plane) {
  BF16_BY_PLANES(rows, from, count, words, plane);
}
void any_channels(const float* from, ptrdiff_t step, ptrdiff_t count, int planes, float* words, ptrdiff_t row,
                  ptrdiff_t plane) {
  BF16_BY_PLANES(channels, from, step, count, words, row, plane);
}
void any_square(const float* from, ptrdiff_t line, ptrdiff_t depth, int lines, int depths, bool by_line, int planes,
                float* words, ptrdiff_t plane) {
  BF16_BY_PLANES(square, from, line, depth, lines, depths, by_line, words, plane);
}
void any_weights(const float* from, ptrdiff_t lane, ptrdiff_t depth, int lanes, int depths, const int64_t* taps,
                 ptrdiff_t count, ptrdiff_t all, int planes, float* words) {
  BF16_BY_PLANES(weights, from, lane, depth, lanes, depths, taps, count, all, words);
}
void any_interleave(const float* lines, ptrdiff_t line, int count_of_lines, ptrdiff_t count, int planes, float* words,
                    ptrdiff_t plane) {
  BF16_BY_PLANES(interleave_lines, lines, line, count_of_lines, count, words, plane);
}

#undef BF16_BY_PLANES

}  // namespace

extern constexpr Bf16Kernels bf16_avx512bf16 = {"avx512bf16", any_pixels,      any_rows,       any_channels,
                                                any_square,   any_weights,     any_interleave, stored_pixels,
                                                stored_rows,  stored_channels, join_taps};

}  // namespace fovea
