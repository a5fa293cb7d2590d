// Batch-reduce GEMM: the one building block under convolution, both of its gradients, linear and matmul.
//
//     C[m × 16·nb] (+)= Σ_e A_e[m × depth] · B_e[depth × 16·nb]        e runs over a list of addresses
//
// A convolution is this sum with e running over (channel block, filter tap): im2col becomes a list of addresses.
//
// Operands are float32 words or, for the kernels of bfloat16, words that are pairs of it: A(i, q) and B(q, j) are then
// pairs along the reduction, and their product is the sum of two products. Everything below counts in words. A product
// of split values (kernels/bf16/bf16.h) is a longer list: b0·b0, b0·b1, b1·b0 are three entries with the same tap.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <cstddef>

#include "kernels/asked.h"
#include "simd/bfloat16.h"

namespace fovea {

// Where one term of the sum starts, in words from BrgemmCall::a and ::b.
struct BrgemmEntry {
  ptrdiff_t a, b;
};

// How A(i, q), 0 <= i < m, 0 <= q < depth, lies in memory behind a + entry.a.
enum class BrgemmRows {
  kPixels,      // [16·i + q]       rows are pixels of the blocked layout, depth <= 16 channels of one block
  kChannels,    // [i + 16·q]       rows are channels of the blocked layout, depth pixels: the weight gradient
  kPlanes,      // [a_step·i]       rows are pixels of a plane; depth is 1, and B's rows follow each other from entry to
                // entry
  kColumns,     // [i + a_step·q]   rows are neighbours: a transposed matrix
  kList,        // [a_rows[i] + a_step·q]  rows stand anywhere
  kRows,        // [a_step·i + q]   rows of a matrix
  kHalfPixels,  // [8·i + q]        rows are pixels of the blocked layout of bfloat16, depth <= 8 pairs; of pairs only
  kTwoRuns,     // [a_step·i + q]   and as many rows again, from a_second and c_second on; of AMX, up to 16 rows × 32
};
constexpr int kBrgemmRowKinds = 8;

// Steps of the sum written out one after another: counters and addresses compete with the multiply-adds for their two
// ports, at one step a round they cost a sixth of the speed.
constexpr int kBrgemmUnroll = 4;
// Entries before their turn that the pixels of one are asked for: some 200 cycles each, half that of bfloat16. From
// memory one is too late (144 to 24 channels at 56×56: 2.39 ms, with three 2.12, Zen 5); from L2 five cost 1 to 2 %.
constexpr ptrdiff_t kBrgemmUnitsAhead = 3;
// See BrgemmCall::ahead, for tiles of so many blocks: one alone goes through a line of A for each step. Of two and
// more, one line and four were slower (Zen 5).
constexpr int brgemm_ahead_lines(int64_t blocks) { return blocks == 1 ? 4 : 2; }

// Reads exactly the A and B elements of the formula, writes exactly the m × 16·nb elements of C; any alignment will do,
// 64 bytes for b is fastest. No allocation, no exceptions, no globals. Every element of the sum over e and q is added
// in order to a register that starts from the bias or from zero; then come C (accumulate), another tensor (add), and
// ReLU. NaN stays NaN, unless it is rounded: then ReLU may make zero of it. The result therefore does not depend on m,
// on nb or on the position of an element in its tile. `a` may lie at any multiple of two bytes when words are pairs.
// Tiles of AMX come in the kinds kPixels, kRows, kHalfPixels and kTwoRuns only; they add the bias to the sum.
struct BrgemmCall {
  const float* a;
  const float* b;
  const BrgemmEntry* entries;
  ptrdiff_t count;          // entries; 0 gives a sum of zero
  ptrdiff_t depth;          // q
  ptrdiff_t a_step;         // kPlanes, kColumns, kList, kRows, kTwoRuns
  const ptrdiff_t* a_rows;  // kList: m of them
  ptrdiff_t pixels;         // of a strip, in place of m
  // kTwoRuns: from a row to that of the second run, of A and of what is written.
  ptrdiff_t a_second, c_second;
  // Tiles of AMX may read rows of A beyond m, up to 16 or 32 in all, whatever stands there: then those of all heights
  // are configured alike.
  bool a_goes_on;
  ptrdiff_t b_block;  // from 16 columns of B to the next 16; rows of B are 16 apart
  float* c;
  ptrdiff_t c_row, c_block;  // likewise for C
  // Of kernels that round: where the finished sums go instead of C, to nearest even; C is then read only, and only to
  // accumulate. Null: they go to C.
  Bfloat16* rounded;
  ptrdiff_t rounded_row, rounded_block;
  const float* bias;  // 16·nb, or null
  const void* add;    // of the type of what is written and lying like it, or null
  bool accumulate, relu;
  int blocks_begun;  // of C, that accumulate adds: the first so many; 0: all. Tiles of AMX add all
  bool c_first;      // tiles of AMX start from C instead of adding it to the sum: sums then round as one long sum does
  // Whole cache lines of what is written need no place in the caches: it is more than they hold. A hint; whoever gives
  // it calls stores_are_seen() (simd/macros.h) before another thread reads.
  bool past_caches;
  // Not kPlanes, kColumns: memory that is asked for meanwhile, a few lines for each kBrgemmUnroll steps of a run:
  // brgemm_ahead_lines(), of pixels four.
  AskedMemory ahead;
  // Set to true when a sum is Inf or NaN, with all but ReLU; null: nobody wants to know. Split or rounded operands give
  // Inf or NaN where float32 might not, and never the other way round.
  bool* not_finite;
};

using BrgemmTile = void (*)(const BrgemmCall& call);

constexpr int kBrgemmMaxRows = 32;
constexpr int kBrgemmMaxBlocks = 4;
// Of a strip: most words of a sum, whose rows of B stay in registers, and pixels that are added up at once beside them.
constexpr int kBrgemmStripWords = 12, kBrgemmStripRows = 16;

// One instruction set's tiles, for every 1 <= nb <= blocks and 1 <= m <= rows[nb - 1].
struct BrgemmKernels {
  const char* name;
  int lanes;  // of a vector
  int blocks;
  int rows[kBrgemmMaxBlocks];
  int tile_rows;  // rows that are computed together, whether they exist or not: 1, or 16 of a tile register
  bool rounds;    // takes BrgemmCall::rounded
  BrgemmTile tile[kBrgemmRowKinds][kBrgemmMaxBlocks][kBrgemmMaxRows];  // [kind][nb - 1][m - 1]

  // Of pairs only: any number of pixels by 16 columns, of sums of up to kBrgemmStripWords words in entries of whole
  // kBrgemmUnroll. Pixels after the last whole kBrgemmStripRows are left. [kind][words / kBrgemmUnroll - 1], null where
  // there are none.
  BrgemmTile strips[kBrgemmRowKinds][kBrgemmStripWords / kBrgemmUnroll];

  BrgemmTile at(BrgemmRows kind, int m, int nb) const { return tile[static_cast<int>(kind)][nb - 1][m - 1]; }
  BrgemmTile strip(BrgemmRows kind, int64_t words) const {
    const bool fits = words > 0 && words <= kBrgemmStripWords && words % kBrgemmUnroll == 0;
    return fits ? strips[static_cast<int>(kind)][words / kBrgemmUnroll - 1] : nullptr;
  }

  // Around the calls of one task on one thread, where the registers need to be set up and given back; else null.
  void (*enter)();
  void (*leave)();
};

// Calls of tiles within one task stand in the life of one of these.
class BrgemmScope {
 public:
  explicit BrgemmScope(const BrgemmKernels& kernels) : kernels_(kernels) {
    if (kernels_.enter) kernels_.enter();
  }
  ~BrgemmScope() {
    if (kernels_.leave) kernels_.leave();
  }
  BrgemmScope(const BrgemmScope&) = delete;
  BrgemmScope& operator=(const BrgemmScope&) = delete;

 private:
  const BrgemmKernels& kernels_;
};

#define BRGEMM_KERNEL(name, needs, words, blocks, rows1, rows2, rows3, rows4) extern const BrgemmKernels name;
#include "kernels/brgemm/kernels.inc"
#undef BRGEMM_KERNEL

enum class BrgemmWords { kFloat32, kBf16Pairs };

// The first row of the table that this CPU, or the cap FOVEA_CPU, can run: of float32 there always is one.
const BrgemmKernels& brgemm_kernels();
const BrgemmKernels* brgemm_bf16_kernels();  // null: the CPU has no products of bfloat16 pairs

}  // namespace fovea
