#include "ops/lane_rounds.h"

#include <algorithm>

#include "ops/parallel.h"
#include "ops/tile_choice.h"

namespace fovea {

int blocks_by_group(const WeightView& weight, const BrgemmKernels& kernels, int64_t entry) {
  const int64_t lanes = weight.lanes / weight.parts;
  if (weight.parts == 1 || kernels.tile_rows > 1 || lanes <= kBlock || weight.depth / weight.parts % entry != 0)
    return 1;
  return static_cast<int>(group_blocks(ceil_div(lanes, kBlock), kernels.blocks));
}

LaneRounds::LaneRounds(const WeightView& weight, int64_t step, bool by_group)
    : step_(step), blocks_(ceil_div(weight.lanes, kBlock)), by_group_(by_group) {
  const int64_t groups = by_group ? weight.parts : 1, lanes = weight.lanes / groups;
  int64_t before = 0;
  for (int64_t group = 0; group < groups; ++group) {
    const AxisSpan own{group * lanes, (group + 1) * lanes};
    const int64_t begin = own.first / kBlock, end = ceil_div(own.end, kBlock);
    const int64_t most = by_group ? group_blocks(end - begin, step) : step;
    for (int64_t block = begin; block < end; block += most) {
      const int64_t blocks = std::min(most, end - block);
      const AxisSpan span{std::max(own.first, block * kBlock), std::min(own.end, (block + blocks) * kBlock)};
      const int64_t begun = block * kBlock < own.first ? 1 : 0;
      const int64_t shared = by_group && (block + blocks) * kBlock > own.end ? 1 : 0;
      rounds_.push_back({block, blocks, span, weight.depths(span.first, span.end), begun, blocks - shared, before});
      before += blocks;
    }
  }
}

LaneRounds::Range LaneRounds::of(int64_t block, int64_t blocks) const {
  if (by_group_) return all();
  return {rounds_.data() + block / step_, rounds_.data() + ceil_div(block + blocks, step_)};
}

}  // namespace fovea
