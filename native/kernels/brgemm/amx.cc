// Tiles of AMX: 16 rows of A × 32 values times 32 values × 16 columns of B, added to 16×16 sums, in one instruction.
// One takes 16 cycles and its sum is there after 52: four sums keep the unit at work. Tile registers:
//
//   up to 32 rows × 32 columns   sums 0 to 3 (row tile r, column tile j: 2r + j), A 4 and 5, B 6 and 7
//   up to 16 rows × 64 columns   sums 0 to 3 (column tile j), A 4, B 5 to 7 in turn
//
// All loads of a step come before its products: where another program uses the unit of the same core from its other
// thread, loads and products hardly overlap, and a step takes 100 to 105 ns, with loads and products in turn 115 to 125
// (Emerald Rapids; alone 25 either way).
#include <string.h>

#include <utility>

#include "kernels/brgemm/tile.inl.h"
#include "simd/vec_avx512bf16.h"

namespace fovea {

namespace {

using simd::avx512::F32;
using simd::avx512bf16::Pairs;

// GCC's tile intrinsics do not say which memory they read and write, beyond its first bytes at most: what was stored
// before them has to be in memory, and what comes after has to read it anew.
FOVEA_INLINE void memory_is_seen() { asm volatile("" ::: "memory"); }

// What LDTILECFG reads (Intel SDM, table 3-10): rows and bytes a row of each tile register.
struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

// Rows of the tiles 0 and 1 and of 2 and 3, and words of depth. high 0: all four have `low` rows, and 5 holds B.
struct Shape {
  int low = 0, high = 0, depth = 0;
};

// Configuring takes 320 cycles, as long as five steps, and consecutive calls of a task mostly agree: what this thread's
// registers are set up for. low 0: not since the task was entered.
thread_local Shape configured;

void configure(const Shape& shape) {
  if (configured.low == shape.low && configured.high == shape.high && configured.depth == shape.depth) return;
  TileConfig config;
  const auto set = [&config](int tile, int rows, int bytes) {
    config.rows[tile] = static_cast<uint8_t>(rows);
    config.row_bytes[tile] = static_cast<uint16_t>(bytes);
  };
  const bool two = shape.high > 0;
  for (int j = 0; j < 4; ++j) set(j, j < 2 || !two ? shape.low : shape.high, 64);
  set(4, shape.low, 4 * shape.depth);
  if (two)
    set(5, shape.high, 4 * shape.depth);
  else
    set(5, shape.depth, 64);
  for (int j = 6; j < 8; ++j) set(j, shape.depth, 64);
  memory_is_seen();
  _tile_loadconfig(&config);
  configured = shape;
}

void enter() { configured = {}; }
void leave() {
  if (configured.low != 0) _tile_release();
  enter();
}

// Where the operands of one step stand: rows of A `a_step` apart, those of the second row tile from a + second on.
struct Step {
  const float* a;
  ptrdiff_t a_step, second;
  const float* b;
  ptrdiff_t b_block;
};

// kRowTiles · NB sums, up to four.
template <int kRowTiles, int NB>
struct Tiles {
  static constexpr bool kWide = NB > 2;
  static_assert(kRowTiles * NB <= 4, "no such tile registers");

  static FOVEA_INLINE void clear() {
    _tile_zero(0);
    if constexpr (NB > 1) _tile_zero(1);
    if constexpr (kRowTiles > 1 || kWide) _tile_zero(2);
    if constexpr ((kRowTiles > 1 && NB > 1) || NB > 3) _tile_zero(3);
  }

  // One step of the reduction: 16 words, or all that the configuration has. An operand that the registers still hold
  // from the step before is not loaded again; of wide tiles B does not stay.
  static FOVEA_INLINE void add(const Step& step, bool new_a, bool new_b) {
    if (new_a) {
      _tile_loadd(4, step.a, 4 * step.a_step);
      if constexpr (kRowTiles > 1) _tile_loadd(5, step.a + step.second, 4 * step.a_step);
    }
    if constexpr (kWide) return multiply_wide(step.b, step.b_block);
    if (new_b) {
      _tile_loadd(6, step.b, 64);
      if constexpr (NB > 1) _tile_loadd(7, step.b + step.b_block, 64);
    }
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (NB > 1) _tile_dpbf16ps(1, 4, 7);
    if constexpr (kRowTiles > 1) _tile_dpbf16ps(2, 5, 6);
    if constexpr (kRowTiles > 1 && NB > 1) _tile_dpbf16ps(3, 5, 7);
  }

  static FOVEA_INLINE void multiply_wide(const float* b, ptrdiff_t b_block) {
    _tile_loadd(5, b, 64);
    _tile_loadd(6, b + b_block, 64);
    _tile_loadd(7, b + 2 * b_block, 64);
    _tile_dpbf16ps(0, 4, 5);
    if constexpr (NB > 3) _tile_loadd(5, b + 3 * b_block, 64);
    _tile_dpbf16ps(1, 4, 6);
    _tile_dpbf16ps(2, 4, 7);
    if constexpr (NB > 3) _tile_dpbf16ps(3, 4, 5);
  }

  // 16 rows of each row tile from and to [row][block][16], the second row tile `second` on. Twice the same list: the
  // intrinsics make part of an instruction's name of a register's digit.
  static FOVEA_INLINE void load(const float* c, ptrdiff_t row, ptrdiff_t block, ptrdiff_t second) {
    _tile_loadd(0, c, 4 * row);
    if constexpr (NB > 1) _tile_loadd(1, c + block, 4 * row);
    if constexpr (kWide) _tile_loadd(2, c + 2 * block, 4 * row);
    if constexpr (NB > 3) _tile_loadd(3, c + 3 * block, 4 * row);
    if constexpr (kRowTiles > 1) _tile_loadd(2, c + second, 4 * row);
    if constexpr (kRowTiles > 1 && NB > 1) _tile_loadd(3, c + second + block, 4 * row);
  }
  static FOVEA_INLINE void store(float* c, ptrdiff_t row, ptrdiff_t block, ptrdiff_t second) {
    _tile_stored(0, c, 4 * row);
    if constexpr (NB > 1) _tile_stored(1, c + block, 4 * row);
    if constexpr (kWide) _tile_stored(2, c + 2 * block, 4 * row);
    if constexpr (NB > 3) _tile_stored(3, c + 3 * block, 4 * row);
    if constexpr (kRowTiles > 1) _tile_stored(2, c + second, 4 * row);
    if constexpr (kRowTiles > 1 && NB > 1) _tile_stored(3, c + second + block, 4 * row);
  }
};

// The end of a call for kRows rows from row `first` on of a run that begins `run` values after the first: as tiles of
// vectors end.
template <int kRows, int NB>
FOVEA_INLINE void finish_rows(const BrgemmCall& call, ptrdiff_t run, ptrdiff_t first, const float (*sums)[16 * NB]) {
  BrgemmSums<Pairs, kRows, NB> part;
  part.load(sums[first], call.bias);
  BrgemmCall rows = call;
  rows.c += run + first * call.c_row;
  const ptrdiff_t rounded = run + first * call.rounded_row;
  if (call.rounded) rows.rounded += rounded;
  if (call.add) {
    const ptrdiff_t to =
        call.rounded ? rounded * ptrdiff_t{sizeof(Bfloat16)} : (rows.c - call.c) * ptrdiff_t{sizeof(float)};
    rows.add = static_cast<const char*>(call.add) + to;
  }
  part.finish(rows);
}

template <int M, int NB>
FOVEA_INLINE void finish(const BrgemmCall& call, ptrdiff_t run, const float (*sums)[16 * NB]) {
  constexpr int kRows = NB > 2 ? 4 : 8;  // half of the vector registers
  for (int first = 0; first + kRows <= M; first += kRows) finish_rows<kRows, NB>(call, run, first, sums);
  if constexpr (M % kRows > 0) finish_rows<M % kRows, NB>(call, run, M / kRows * kRows, sums);
}

constexpr int kWords = 16;  // of one step

// The last step of a long reduction that is no multiple of 16 words, as a whole step with zeros.
template <int kLow, int kHigh, int NB>
void add_rest(const Step& step, ptrdiff_t words) {
  alignas(64) float padded_a[32][kWords] = {}, padded_b[NB][kWords][16] = {};
  const size_t bytes = static_cast<size_t>(words) * sizeof(float);
  for (int i = 0; i < kLow; ++i) memcpy(padded_a[i], step.a + i * step.a_step, bytes);
  for (int i = 0; i < kHigh; ++i) memcpy(padded_a[16 + i], step.a + step.second + i * step.a_step, bytes);
  for (int j = 0; j < NB; ++j) memcpy(padded_b[j], step.b + j * step.b_block, static_cast<size_t>(words) * 64);
  memory_is_seen();
  Tiles<(kHigh > 0 ? 2 : 1), NB>::add({padded_a[0], kWords, 16 * kWords, padded_b[0][0], kWords * 16}, true, true);
  memory_is_seen();
}

// What tiles of vectors ask for in four rounds of four words.
template <int NB>
struct AskAhead {
  static constexpr ptrdiff_t kLines = kWords / kBrgemmUnroll * brgemm_ahead_lines(NB), kLine = 64;
  const std::byte *at, *end;

  explicit AskAhead(const BrgemmCall& call) : at(call.ahead.first), end(call.ahead.end) {}
  FOVEA_INLINE void fetch() {
    for (ptrdiff_t line = 0; line < kLines && at < end; ++line, at += kLine) ask_to_read(at);
  }
};

// What a later entry reads of pixels that are multiplied where they lie, or one of the next tile, as tiles of vectors
// do.
template <int M>
FOVEA_INLINE void ask_for_later(const BrgemmCall& call, const BrgemmEntry* entry) {
  const ptrdiff_t later = kBrgemmUnitsAhead < call.count ? kBrgemmUnitsAhead : call.count;
  const bool here = later < call.entries + call.count - entry;
  const float* const next = call.a + (here ? entry[later].a : entry[later - call.count].a + M * 8);
  UNROLL for (int i = 0; i < M; i += 2)
    ask_to_read(next + 8 * i);
}

// kLow rows from a, kHigh from a + second.
template <BrgemmRows kKind, int kLow, int kHigh, int NB>
FOVEA_INLINE void add_entries(const BrgemmCall& call, ptrdiff_t a_step, ptrdiff_t second) {
  using T = Tiles<(kHigh > 0 ? 2 : 1), NB>;
  const ptrdiff_t depth = call.depth;
  const float *last_a = nullptr, *last_b = nullptr;
  AskAhead<NB> ahead(call);
  for (const BrgemmEntry *entry = call.entries, *end = entry + call.count; entry != end; ++entry) {
    const float *a = call.a + entry->a, *b = call.b + entry->b;
    if constexpr (kKind == BrgemmRows::kHalfPixels) ask_for_later<kLow + kHigh>(call, entry);
    if (depth <= kWords) {
      if (depth > 0) T::add({a, a_step, second, b, call.b_block}, a != last_a, b != last_b);
      last_a = a, last_b = b;
      ahead.fetch();
      continue;
    }
    ptrdiff_t q = 0;
    for (; q + kWords <= depth; q += kWords) {
      T::add({a + q, a_step, second, b + 16 * q, call.b_block}, true, true);
      ahead.fetch();
    }
    if (q < depth) add_rest<kLow, kHigh, NB>({a + q, a_step, second, b + 16 * q, call.b_block}, depth - q);
  }
}

// kRows rows of C from `from` values on.
template <int kRows, int NB>
FOVEA_INLINE void copy_c(const BrgemmCall& call, ptrdiff_t from, float (*sums)[16 * NB]) {
  for (int i = 0; i < kRows; ++i) {
    UNROLL for (int j = 0; j < NB; ++j)
      F32::load(call.c + from + i * call.c_row + j * call.c_block).store(sums[i] + 16 * j);
  }
}

// Whether sums go to C and nothing is done with them.
bool ends_plainly(const BrgemmCall& call) {
  return !call.rounded && !call.bias && !call.add && !call.relu && !call.not_finite;
}

template <BrgemmRows kKind, int M, int NB>
void amx_tile(const BrgemmCall& call) {
  constexpr bool kTwoRuns = kKind == BrgemmRows::kTwoRuns;
  constexpr int kLow = M < 16 ? M : 16, kHigh = kTwoRuns ? M : M - kLow;
  const ptrdiff_t a_step = kKind == BrgemmRows::kPixels ? 16 : kKind == BrgemmRows::kHalfPixels ? 8 : call.a_step;
  const int words = call.depth < kWords && call.depth > 0 ? static_cast<int>(call.depth) : kWords;
  memory_is_seen();
  if (call.a_goes_on)
    configure({16, kHigh > 0 ? 16 : 0, words});
  else
    configure({kLow, kHigh, words});
  using T = Tiles<(kHigh > 0 ? 2 : 1), NB>;
  // Of whole row tiles C itself may go through the registers; of others there is more in the registers than in C.
  constexpr bool kWhole = kLow == 16 && (kHigh == 0 || kHigh == 16);
  const ptrdiff_t c_second = kTwoRuns ? call.c_second : 16 * call.c_row;
  const bool starts = call.accumulate && call.c_first;
  alignas(64) float sums[kHigh > 0 ? 32 : 16][16 * NB];
  if (!starts) {
    T::clear();
  } else if (kWhole || !call.a_goes_on) {
    T::load(call.c, call.c_row, call.c_block, c_second);
  } else {
    copy_c<kLow, NB>(call, 0, sums);
    copy_c<kHigh, NB>(call, c_second, sums + 16);
    memory_is_seen();
    T::load(sums[0], 16 * NB, 16, 16 * 16 * NB);
  }
  add_entries<kKind, kLow, kHigh, NB>(call, a_step, kTwoRuns ? call.a_second : 16 * a_step);
  if (kWhole && (starts || !call.accumulate) && ends_plainly(call)) {
    T::store(call.c, call.c_row, call.c_block, c_second);
    return memory_is_seen();
  }
  T::store(sums[0], 16 * NB, 16, 16 * 16 * NB);
  memory_is_seen();
  BrgemmCall rest = call;
  rest.accumulate = call.accumulate && !starts;
  if constexpr (kTwoRuns) {
    finish<M, NB>(rest, 0, sums);
    finish<M, NB>(rest, call.c_second, sums + 16);
  } else {
    finish<M, NB>(rest, 0, sums);
  }
}

template <BrgemmRows kRows, int NB, int... M>
constexpr void fill(BrgemmKernels& kernels, std::integer_sequence<int, M...>) {
  ((kernels.tile[static_cast<int>(kRows)][NB - 1][M] = amx_tile<kRows, M + 1, NB>), ...);
}

template <int NB, int kRows>
constexpr void fill_all(BrgemmKernels& kernels) {
  using Rows = std::make_integer_sequence<int, kRows>;
  fill<BrgemmRows::kPixels, NB>(kernels, Rows());
  fill<BrgemmRows::kRows, NB>(kernels, Rows());
  fill<BrgemmRows::kHalfPixels, NB>(kernels, Rows());
  if constexpr (NB <= 2) fill<BrgemmRows::kTwoRuns, NB>(kernels, std::make_integer_sequence<int, 16>());
}

constexpr BrgemmKernels make(const char* name) {
  BrgemmKernels kernels{name, 16, 4, {32, 32, 16, 16}, 16, true, {}, {}, enter, leave};
  fill_all<1, 32>(kernels);
  fill_all<2, 32>(kernels);
  fill_all<3, 16>(kernels);
  fill_all<4, 16>(kernels);
  return kernels;
}

}  // namespace

extern const BrgemmKernels brgemm_amx;
constexpr BrgemmKernels brgemm_amx = make("brgemm_amx");

}  // namespace fovea
