// Rounds of the lanes of a weight: the blocks of 16 that tiles take at once. Of one group of convolution each block is
// in one round. Where several groups were merged (conv_merged.h) a round can be of one group's lanes, and a block that
// two groups share is in a round of either:
//
//   two groups of 24 lanes    block 0 │ block 1 │ block 2
//   round of the first        ■■■■■■■■ ■■■■
//   round of the second                    ■■■■ ■■■■■■■■     the other half of block 1 is multiplied by zeros
#pragma once
#include <cstdint>
#include <vector>

#include "kernels/brgemm/brgemm.h"
#include "ops/conv_pack.h"

namespace fovea {

struct LaneRound {
  int64_t block, blocks;
  AxisSpan lanes, depths;  // whose sums it makes, of which depths
  // Of its blocks: the first that a round before has begun, and the first that no later round adds to.
  int64_t begun, finished;
  int64_t before;  // blocks of all rounds before it
};

// Some that follow each other.
struct LaneRounds {
  const LaneRound *first, *last;
  const LaneRound* begin() const { return first; }
  const LaneRound* end() const { return last; }
  int64_t size() const { return last - first; }
};

// Blocks that tiles should take at once of a merged weight: more than one if rounds are of one group each. A single
// block takes as many products, but a load for each of them: 1.2 times as long (Zen 5). `entry`: depths that are
// multiplied together, of one group only, or a lane that meets them in two rounds would have them twice.
int blocks_by_group(const WeightView& weight, const BrgemmKernels& kernels, int64_t entry);

// All of them, in the order of their blocks, of at most `step`.
std::vector<LaneRound> lane_rounds(const WeightView& weight, int64_t step, bool by_group);

}  // namespace fovea
