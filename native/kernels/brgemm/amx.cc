// Tiles of AMX: 16 rows of A × 32 values times 32 values × 16 columns of B, added to 16×16 sums, in one instruction.
// One takes 16 cycles and its sum is there after 52: four sums keep the unit at work. Tile registers:
//
//   up to 32 rows × 32 columns   sums 0 to 3 (row tile r, column tile j: 2r + j), A 4 and 5, B 6 and 7
//   up to 16 rows × 64 columns   sums 0 to 3 (column tile j), A 4, B 5 to 7 in turn
#include <string.h>

#include <utility>

#include "kernels/brgemm/brgemm.inl.h"
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

// Configuring costs as much as several products, and consecutive calls of a task mostly agree: m and depth that this
// thread's registers are set up for. 0: not since the task was entered.
thread_local int configured_rows = 0, configured_depth = 0;

void configure(int m, int depth) {
  if (configured_rows == m && configured_depth == depth) return;
  TileConfig config;
  const auto set = [&config](int tile, int rows, int bytes) {
    config.rows[tile] = static_cast<uint8_t>(rows);
    config.row_bytes[tile] = static_cast<uint16_t>(bytes);
  };
  const int first = m < 16 ? m : 16;
  for (int j = 0; j < 4; ++j) set(j, j < 2 || m <= 16 ? first : m - 16, 64);
  set(4, first, 4 * depth);
  if (m > 16)
    set(5, m - 16, 4 * depth);
  else
    set(5, depth, 64);
  for (int j = 6; j < 8; ++j) set(j, depth, 64);
  memory_is_seen();
  _tile_loadconfig(&config);
  configured_rows = m;
  configured_depth = depth;
}

void enter() { configured_rows = configured_depth = 0; }
void leave() {
  if (configured_rows != 0) _tile_release();
  enter();
}

template <int M, int NB>
struct Tiles {
  static constexpr bool kWide = NB > 2;
  static_assert(M <= (kWide ? 16 : 32), "no such tile registers");

  static FOVEA_INLINE void clear() {
    _tile_zero(0);
    if constexpr (NB > 1) _tile_zero(1);
    if constexpr (M > 16 || kWide) _tile_zero(2);
    if constexpr ((M > 16 && NB > 1) || NB > 3) _tile_zero(3);
  }

  // One step of the reduction: 16 words, or all that the configuration has.
  static FOVEA_INLINE void add(const float* a, ptrdiff_t a_step, const float* b, ptrdiff_t b_block) {
    if constexpr (kWide)
      add_wide(a, a_step, b, b_block);
    else
      add_square(a, a_step, b, b_block);
  }

  static FOVEA_INLINE void add_square(const float* a, ptrdiff_t a_step, const float* b, ptrdiff_t b_block) {
    _tile_loadd(6, b, 64);
    _tile_loadd(4, a, 4 * a_step);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (NB > 1) {
      _tile_loadd(7, b + b_block, 64);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (M > 16) {
      _tile_loadd(5, a + 16 * a_step, 4 * a_step);
      _tile_dpbf16ps(2, 5, 6);
      if constexpr (NB > 1) _tile_dpbf16ps(3, 5, 7);
    }
  }

  static FOVEA_INLINE void add_wide(const float* a, ptrdiff_t a_step, const float* b, ptrdiff_t b_block) {
    _tile_loadd(4, a, 4 * a_step);
    _tile_loadd(5, b, 64);
    _tile_dpbf16ps(0, 4, 5);
    _tile_loadd(6, b + b_block, 64);
    _tile_dpbf16ps(1, 4, 6);
    _tile_loadd(7, b + 2 * b_block, 64);
    _tile_dpbf16ps(2, 4, 7);
    if constexpr (NB > 3) {
      _tile_loadd(5, b + 3 * b_block, 64);
      _tile_dpbf16ps(3, 4, 5);
    }
  }

  // sums[row][column], as many rows as there are.
  static FOVEA_INLINE void store(float (*sums)[16 * NB]) {
    constexpr int kStride = 64 * NB;
    _tile_stored(0, sums[0], kStride);
    if constexpr (NB > 1) _tile_stored(1, sums[0] + 16, kStride);
    if constexpr (kWide) {
      _tile_stored(2, sums[0] + 32, kStride);
      if constexpr (NB > 3) _tile_stored(3, sums[0] + 48, kStride);
    } else if constexpr (M > 16) {
      _tile_stored(2, sums[16], kStride);
      if constexpr (NB > 1) _tile_stored(3, sums[16] + 16, kStride);
    }
  }
};

// The end of a call for rows [first, first + kRows): as tiles of vectors end.
template <int kRows, int NB>
FOVEA_INLINE void finish_rows(const BrgemmCall& call, int first, const float (*sums)[16 * NB]) {
  BrgemmSums<Pairs, kRows, NB> part;
  part.load(sums[first], call.bias);
  BrgemmCall rows = call;
  rows.c += first * call.c_row;
  if (call.rounded) rows.rounded += first * call.rounded_row;
  if (call.add) {
    const auto row =
        call.rounded ? call.rounded_row * ptrdiff_t{sizeof(Bfloat16)} : call.c_row * ptrdiff_t{sizeof(float)};
    rows.add = static_cast<const char*>(call.add) + first * row;
  }
  part.finish(rows);
}

template <int M, int NB>
FOVEA_INLINE void finish(const BrgemmCall& call, const float (*sums)[16 * NB]) {
  constexpr int kRows = NB > 2 ? 4 : 8;  // half of the vector registers
  for (int first = 0; first + kRows <= M; first += kRows) finish_rows<kRows, NB>(call, first, sums);
  if constexpr (M % kRows > 0) finish_rows<M % kRows, NB>(call, M / kRows * kRows, sums);
}

constexpr int kWords = 16;  // of one step

// The last step of a long reduction that is no multiple of 16 words, as a whole step with zeros.
template <int M, int NB>
void add_rest(const float* a, ptrdiff_t a_step, const float* b, ptrdiff_t b_block, ptrdiff_t words) {
  alignas(64) float padded_a[M][kWords] = {}, padded_b[NB][kWords][16] = {};
  for (int i = 0; i < M; ++i) memcpy(padded_a[i], a + i * a_step, static_cast<size_t>(words) * sizeof(float));
  for (int j = 0; j < NB; ++j) memcpy(padded_b[j], b + j * b_block, static_cast<size_t>(words) * 64);
  memory_is_seen();
  Tiles<M, NB>::add(padded_a[0], kWords, padded_b[0][0], kWords * 16);
  memory_is_seen();
}

template <BrgemmRows kRows, int M, int NB>
void amx_tile(const BrgemmCall& call) {
  using T = Tiles<M, NB>;
  const ptrdiff_t a_step = kRows == BrgemmRows::kPixels ? 16 : call.a_step, depth = call.depth;
  memory_is_seen();
  configure(M, depth < kWords && depth > 0 ? static_cast<int>(depth) : kWords);
  T::clear();
  for (const BrgemmEntry *entry = call.entries, *end = entry + call.count; entry != end; ++entry) {
    const float *a = call.a + entry->a, *b = call.b + entry->b;
    if (depth < kWords) {
      if (depth > 0) T::add(a, a_step, b, call.b_block);
      continue;
    }
    ptrdiff_t q = 0;
    for (; q + kWords <= depth; q += kWords) T::add(a + q, a_step, b + 16 * q, call.b_block);
    if (q < depth) add_rest<M, NB>(a + q, a_step, b + 16 * q, call.b_block, depth - q);
  }
  alignas(64) float sums[M][16 * NB];
  T::store(sums);
  memory_is_seen();
  finish<M, NB>(call, sums);
}

template <BrgemmRows kRows, int NB, int... M>
constexpr void fill(BrgemmKernels& kernels, std::integer_sequence<int, M...>) {
  ((kernels.tile[static_cast<int>(kRows)][NB - 1][M] = amx_tile<kRows, M + 1, NB>), ...);
}

template <int NB, int kRows>
constexpr void fill_both(BrgemmKernels& kernels) {
  using Rows = std::make_integer_sequence<int, kRows>;
  fill<BrgemmRows::kPixels, NB>(kernels, Rows());
  fill<BrgemmRows::kRows, NB>(kernels, Rows());
}

constexpr BrgemmKernels make(const char* name) {
  BrgemmKernels kernels{name, 16, 4, {32, 32, 16, 16}, 16, true, {}, enter, leave};
  fill_both<1, 32>(kernels);
  fill_both<2, 32>(kernels);
  fill_both<3, 16>(kernels);
  fill_both<4, 16>(kernels);
  return kernels;
}

}  // namespace

extern const BrgemmKernels brgemm_amx;
constexpr BrgemmKernels brgemm_amx = make("brgemm_amx");

}  // namespace fovea
