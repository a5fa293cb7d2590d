// One tile of sums in registers: brgemm.h says what it does.
#pragma once
#include "kernels/brgemm/brgemm.h"
#include "simd/macros.h"

namespace fovea {

template <class V, int M, int NB>
struct BrgemmSums {
  using Sum = typename V::Sum;
  static constexpr bool kRounds = V::kRoundedAtOnce > 0;
  static constexpr int kPerBlock = 16 / V::kLanes;
  static constexpr int kVectors = NB * kPerBlock;
  Sum sum[M][kVectors];

  FOVEA_INLINE void clear() {
    UNROLL for (int i = 0; i < M; ++i) {
      UNROLL for (int j = 0; j < kVectors; ++j)
        sum[i][j] = Sum::zero();
    }
  }
  // From the bias of each column instead.
  FOVEA_INLINE void start(const float* bias) {
    UNROLL for (int j = 0; j < kVectors; ++j) {
      const Sum first = Sum::load(bias + j * V::kLanes);
      UNROLL for (int i = 0; i < M; ++i)
        sum[i][j] = first;
    }
  }

  // What was added up elsewhere, rows of 16·NB, and the bias.
  FOVEA_INLINE void load(const float* sums, const float* bias) {
    UNROLL for (int j = 0; j < kVectors; ++j) {
      const Sum first = bias ? Sum::load(bias + j * V::kLanes) : Sum::zero();
      UNROLL for (int i = 0; i < M; ++i)
        sum[i][j] = Sum::load(sums + i * 16 * NB + j * V::kLanes) + first;
    }
  }

  // One q: `a(i)` points at A(i, q), b[n] points at B(q, 16 n), `offset` floats before it.
  template <class A>
  FOVEA_INLINE void add(const A& a, const float* const* b, ptrdiff_t offset) {
    V row[kVectors];
    UNROLL for (int j = 0; j < kVectors; ++j) {
      row[j] = V::load(b[j / kPerBlock] + offset + j % kPerBlock * V::kLanes);
      keep(row[j]);
    }
    // With one product for each element of A, that load is better part of the product: 118 GFLOP/s instead of 85 on
    // Zen 4.
    if (kVectors == 1) {
      UNROLL for (int i = 0; i < M; ++i)
        accumulate(sum[i][0], a(i), row[0]);
      return;
    }
    UNROLL for (int i = 0; i < M; ++i) {
      const V ai = V::splat_at(a(i));
      UNROLL for (int j = 0; j < kVectors; ++j)
        accumulate(sum[i][j], ai, row[j]);
    }
  }

  FOVEA_INLINE void finish(const BrgemmCall& call) {
    if (call.accumulate) {
      const int blocks = NB > 1 && call.blocks_begun > 0 ? call.blocks_begun : NB;
      add_memory(static_cast<const float*>(call.c), call.c_row, call.c_block, blocks);
    }
    if constexpr (kRounds) {
      if (call.rounded) {
        if (call.add) add_memory(static_cast<const Bfloat16*>(call.add), call.rounded_row, call.rounded_block);
        return finish_rounded(call);
      }
    }
    if (call.add) add_memory(static_cast<const float*>(call.add), call.c_row, call.c_block);
    check_and_cut(call);
    goes_past(call, call.c, call.c_block) && call.c_row % 16 == 0 ? write<true>(call) : write<false>(call);
  }

  FOVEA_INLINE void finish_rounded(const BrgemmCall& call) {
    if constexpr (V::kRoundedAtOnce == 1) {
      check_and_cut(call);
      UNROLL for (int i = 0; i < M; ++i) {
        UNROLL for (int j = 0; j < kVectors; ++j)
          sum[i][j].store(at(call.rounded + i * call.rounded_row, j, call.rounded_block));
      }
    } else if (call.rounded_row != 16) {
      round<false, false>(call);
    } else {
      goes_past(call, call.rounded, call.rounded_block) ? round<true, true>(call) : round<true, false>(call);
    }
  }

  FOVEA_INLINE void check_and_cut(const BrgemmCall& call) {
    if (call.not_finite && !finite()) *call.not_finite = true;
    if (!call.relu) return;
    UNROLL for (int i = 0; i < M; ++i) {
      UNROLL for (int j = 0; j < kVectors; ++j)
        sum[i][j] = max(Sum::zero(), sum[i][j]);
    }
  }

  template <bool kPast>
  FOVEA_INLINE void write(const BrgemmCall& call) const {
    UNROLL for (int i = 0; i < M; ++i) {
      UNROLL for (int j = 0; j < kVectors; ++j) {
        float* const to = at(call.c + i * call.c_row, j, call.c_block);
        if constexpr (kPast)
          sum[i][j].store_past_caches(to);
        else
          sum[i][j].store(to);
      }
    }
  }

  // Whether it should, and its blocks begin with cache lines.
  template <class T>
  static FOVEA_INLINE bool goes_past(const BrgemmCall& call, const T* to, ptrdiff_t block) {
    const auto bytes = static_cast<uintptr_t>(block) * sizeof(T);
    return call.past_caches && ((reinterpret_cast<uintptr_t>(to) | bytes) % 64) == 0;
  }

  // Of sums that are looked at: in one alone each would wait for the one before, 84 cycles a tile.
  static constexpr int kChains = 4;

  // Two rows at once, as one cache line where they lie side by side. After a short sum each instruction here counts: of
  // 64 channels the tiles run 6 % faster than with rows one by one.
  template <bool kSideBySide, bool kPast>
  FOVEA_INLINE void round(const BrgemmCall& call) {
    // Copies, or GCC reads them from the call again after each store.
    Bfloat16* const to = call.rounded;
    const ptrdiff_t row = kSideBySide ? 16 : call.rounded_row, block = call.rounded_block;
    const auto floor = V::floor_of_relu(call.relu);
    Sum rest[kChains];
    UNROLL for (int i = 0; i < kChains; ++i)
      rest[i] = Sum::zero();
    UNROLL for (int i = 0; i < M; i += 2) {
      UNROLL for (int j = 0; j < kVectors; ++j) {
        auto two = V::rounded(sum[i][j], i + 1 < M ? sum[i + 1][j] : Sum::zero());
        add_if_not_finite(rest[(i / 2 * kVectors + j) % kChains], two);
        two = max_as_integers(two, floor);
        Bfloat16* const first = to + i * row + j * block;
        if (kSideBySide && i + 1 < M) {
          if constexpr (kPast)
            store_past_caches(two, first);
          else
            store(two, first);
          continue;
        }
        lower(two).store(first);
        if (i + 1 < M) upper(two).store(first + row);
      }
    }
    UNROLL for (int i = 1; i < kChains; ++i)
      rest[0] = rest[0] + rest[i];
    if (call.not_finite && bits(is_nan(rest[0])) != 0) *call.not_finite = true;
  }

  template <class T>
  FOVEA_INLINE void add_memory(const T* from, ptrdiff_t row, ptrdiff_t block, int blocks = NB) {
    UNROLL for (int j = 0; j < kVectors; ++j) {
      if (j / kPerBlock >= blocks) return;
      UNROLL for (int i = 0; i < M; ++i)
        sum[i][j] = load_sum(at(from + i * row, j, block)) + sum[i][j];
    }
  }
  static FOVEA_INLINE Sum load_sum(const float* p) { return Sum::load(p); }
  static FOVEA_INLINE Sum load_sum(const Bfloat16* p) { return V::widened(p); }

  // x - x is 0 for every finite x and NaN for the others.
  FOVEA_INLINE bool finite() const {
    Sum rest = Sum::zero();
    UNROLL for (int i = 0; i < M; ++i) {
      UNROLL for (int j = 0; j < kVectors; ++j)
        rest = rest | (sum[i][j] - sum[i][j]);
    }
    return bits(is_nan(rest)) == 0;
  }

  template <class T>
  static FOVEA_INLINE T* at(T* c, int j, ptrdiff_t block) {
    return c + j / kPerBlock * block + j % kPerBlock * V::kLanes;
  }
};

// The rows of B that stand side by side: a pointer for each block, so that a step is a constant away from it.
template <int NB>
struct BrgemmPanel {
  const float* block[NB];

  FOVEA_INLINE BrgemmPanel(const float* b, ptrdiff_t b_block) {
    UNROLL for (int j = 0; j < NB; ++j)
      block[j] = b + j * b_block;
  }
  FOVEA_INLINE void advance(ptrdiff_t steps) {
    UNROLL for (int j = 0; j < NB; ++j) {
      block[j] += 16 * steps;
#if defined(__GNUC__)
      asm("" : "+r"(block[j]));  // or GCC derives each address anew, and spills
#endif
    }
  }
};

constexpr bool are_pixels(BrgemmRows kind) { return kind == BrgemmRows::kPixels || kind == BrgemmRows::kHalfPixels; }
constexpr bool asks_ahead(BrgemmRows kind) {
  return kind == BrgemmRows::kChannels || kind == BrgemmRows::kList || kind == BrgemmRows::kRows;
}

// Asks for what BrgemmCall::ahead says, and at its end for the same lines over and over: a branch would cost more.
template <bool kAsks, int kLines>
struct BrgemmAhead {
  explicit BrgemmAhead(const BrgemmCall&) {}
  FOVEA_INLINE void fetch() {}
};

template <int kLines>
struct BrgemmAhead<true, kLines> {
  static constexpr ptrdiff_t kLine = 64;
  const std::byte *at, *end;

  explicit BrgemmAhead(const BrgemmCall& call) : at(call.ahead.first), end(call.ahead.end) {
    if (!at) at = end = reinterpret_cast<const std::byte*>(call.a);
  }
  FOVEA_INLINE void fetch() {
    UNROLL for (int line = 0; line < kLines; ++line)
      ask_to_read(at + line * kLine);
    at += at < end ? kLines * kLine : 0;
  }
};

// What tiles of pixels ask for, a few lines for each kBrgemmUnroll steps of the sum: BrgemmCall::add, all of whose
// lines at once are more than Zen 5 takes (256 channels at 56×56 with a residual: 5.2 ms without asking, 4.05 at
// once, 3.65 line by line), then BrgemmCall::ahead.
template <int M, int NB>
class BrgemmAsks {
 public:
  // Most calls ask for nothing: of a short sum the few instructions of the rest are 3 % of the time.
  explicit FOVEA_INLINE BrgemmAsks(const BrgemmCall& call) : any_(call.add || call.ahead.first) {
    if (!any_) return;
    ahead_ = call.ahead.first, end_ = call.ahead.end;
    begin(call);
  }
  // What that call adds, and what is left of `ahead`.
  FOVEA_INLINE void go_on(const BrgemmCall& call) {
    if (any_) begin(call);
  }
  FOVEA_INLINE void fetch() {
    if (any_) ask();
  }

 private:
  FOVEA_INLINE void begin(const BrgemmCall& call) {
    added_ = static_cast<const std::byte*>(call.add);
    const ptrdiff_t bytes = call.rounded ? sizeof(Bfloat16) : sizeof(float);
    const ptrdiff_t row = bytes * (call.rounded ? call.rounded_row : call.c_row);
    const bool twos = row == kLine / 2;  // rows of a line
    line_ = twos ? kLine : row;
    block_ = bytes * (call.rounded ? call.rounded_block : call.c_block);
    left_ = !added_ ? 0 : twos ? (M + 1) / 2 : M;
  }
  FOVEA_INLINE void ask() {
    if (left_ > 0) {
      UNROLL for (int i = 0; i < kLines; ++i) {
        UNROLL for (int j = 0; j < NB; ++j)
          ask_to_read(added_ + i * line_ + j * block_);
      }
      added_ += kLines * line_, left_ -= kLines;
    } else if (ahead_ < end_) {
      UNROLL for (int i = 0; i < kAtOnce; ++i)
        ask_to_read(ahead_ + i * kLine);
      ahead_ += kAtOnce * kLine;
    }
  }

  static constexpr int kLine = 64, kAtOnce = 4, kLines = NB > 2 ? 1 : kAtOnce / NB;  // of each block
  const bool any_;
  const std::byte *added_, *ahead_, *end_;
  ptrdiff_t line_, block_;  // bytes from a line to the next, and to that of the next block
  int left_;                // lines of each block
};

template <class V, BrgemmRows kRows, int M, int NB>
void brgemm_tile(const BrgemmCall& call) {
  constexpr int U = kBrgemmUnroll;
  BrgemmSums<V, M, NB> sums;
  if (call.bias)
    sums.start(call.bias);
  else
    sums.clear();
  const ptrdiff_t depth = call.depth, a_step = call.a_step, b_block = call.b_block;
  const float *const a0 = call.a, *const b0 = call.b;
  const BrgemmEntry *entry = call.entries, *const end = entry + call.count;
  BrgemmAhead<asks_ahead(kRows), brgemm_ahead_lines(NB)> ahead(call);
  BrgemmAsks<M, NB> asks(call);
  if (kRows == BrgemmRows::kPlanes && entry != end) {
    BrgemmPanel<NB> b(b0 + entry->b, b_block);
    for (; end - entry >= U; entry += U, b.advance(U)) {
      UNROLL for (int u = 0; u < U; ++u) {
        const float* a = a0 + entry[u].a;
        sums.add([a, a_step](int i) { return a + a_step * i; }, b.block, 16 * u);
      }
    }
    for (; entry != end; ++entry, b.advance(1)) {
      const float* a = a0 + entry->a;
      sums.add([a, a_step](int i) { return a + a_step * i; }, b.block, 0);
    }
  }
  for (; entry != end; ++entry) {
    const float* a = a0 + entry->a;
    BrgemmPanel<NB> b(b0 + entry->b, b_block);
    const float* row[M];
    if (kRows == BrgemmRows::kList) {
      UNROLL for (int i = 0; i < M; ++i)
        row[i] = a + call.a_rows[i];
    }
    // Where A(0, q) stands, and the way from there to A(i, q).
    const ptrdiff_t step = kRows == BrgemmRows::kChannels ? 16 : kRows == BrgemmRows::kColumns ? a_step : 1;
    constexpr ptrdiff_t kPitch = kRows == BrgemmRows::kPixels ? 16 : kRows == BrgemmRows::kHalfPixels ? 8 : 1;
    const auto at = [&row, a_step](const float* a_q, ptrdiff_t q, int i) {
      return kRows == BrgemmRows::kList   ? row[i] + a_step * q
             : kRows == BrgemmRows::kRows ? a_q + a_step * i
                                          : a_q + kPitch * i;
    };
    // What a later unit reads, or one of the next tile: a tile is through with a unit before memory has delivered
    // another.
    if constexpr (are_pixels(kRows)) {
      constexpr int kLine = 16 / kPitch;  // rows of one cache line
      const ptrdiff_t later = kBrgemmUnitsAhead < call.count ? kBrgemmUnitsAhead : call.count;
      const bool here = later < end - entry;
      const float* next = a0 + (here ? entry[later].a : entry[later - call.count].a + M * kPitch);
      UNROLL for (int i = 0; i < M; i += kLine)
        ask_to_read(next + kPitch * i);
    }
    ptrdiff_t q = 0;
    for (; q + U <= depth; q += U, b.advance(U)) {
      ahead.fetch();
      if constexpr (are_pixels(kRows)) asks.fetch();
      UNROLL for (int u = 0; u < U; ++u, a += step)
        sums.add([&](int i) { return at(a, q + u, i); }, b.block, 16 * u);
    }
    for (; q < depth; ++q, a += step, b.advance(1)) sums.add([&](int i) { return at(a, q, i); }, b.block, 0);
  }
  sums.finish(call);
}

}  // namespace fovea
