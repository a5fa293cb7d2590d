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

// Blocks that tiles should take at once where rounds are of one of several groups each; 1: they should not be. A single
// block takes as many products, but a load for each of them: 1.2 times as long (Zen 5). `entry`: depths that are
// multiplied together, of one group only, or a lane that meets them in two rounds would have them twice.
int blocks_by_group(const WeightView& weight, const BrgemmKernels& kernels, int64_t entry);

// All rounds, in the order of their blocks.
class LaneRounds {
 public:
  struct Range {
    const LaneRound *first, *last;
    const LaneRound* begin() const { return first; }
    const LaneRound* end() const { return last; }
    int64_t size() const { return last - first; }
  };

  LaneRounds() = default;
  // Of at most `step` blocks.
  LaneRounds(const WeightView& weight, int64_t step, bool by_group);

  bool by_group() const { return by_group_; }
  // Blocks that no two tasks share.
  int64_t least_split() const { return by_group_ ? blocks_ : step_; }
  // Of all rounds together: those that two share count twice.
  int64_t blocks() const { return rounds_.empty() ? 0 : rounds_.back().before + rounds_.back().blocks; }
  Range all() const { return {rounds_.data(), rounds_.data() + rounds_.size()}; }
  // Of a task's blocks.
  Range of(int64_t block, int64_t blocks) const;
  size_t index(const LaneRound& round) const { return static_cast<size_t>(&round - rounds_.data()); }

 private:
  std::vector<LaneRound> rounds_;
  int64_t step_ = 1, blocks_ = 0;
  bool by_group_ = false;
};

}  // namespace fovea
