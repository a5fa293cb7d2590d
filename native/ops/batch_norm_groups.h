// How batch normalisation walks over x: groups of channels that one kernel call serves, and runs of their pixels.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "ops/parallel.h"

namespace fovea {

// Blocked [N][C/16][pixels][16]: a group is a block, a run some pixels of one image. Plain [N, C]: a group is up to 16
// neighbouring columns, a run some rows. Plain [N, C, pixels]: a group is one channel, a run some pixels of one image,
// taken 16 at a time as if they were channels.
class NormGroups {
 public:
  NormGroups() = default;
  explicit NormGroups(const Operand& x) : blocked_(x.layout == Layout::kBlocked), n_(x.shape[0]), c_(x.shape[1]) {
    const std::vector<int64_t>& shape = x.shape;
    for (size_t i = 2; i < shape.size(); ++i) pixels_ *= shape[i];
    matrix_ = !blocked_ && pixels_ == 1;
    groups_ = blocked_ || matrix_ ? blocks(c_) : c_;
    const int64_t length = matrix_ ? n_ : pixels_, floats = blocked_ || matrix_ ? kBlock : 1;
    segment_ =
        std::min<int64_t>(length, 4 * kGrain / floats);  // a multiple of 16 and of the kernel's runs, or everything
    segments_ = ceil_div(length, segment_);
    runs_ = matrix_ ? segments_ : n_ * segments_;
    runs_per_piece_ = std::max(ceil_div(2 * kGrain, segment_ * floats), ceil_div(runs_, kMostPieces));
    pieces_ = ceil_div(runs_, runs_per_piece_);
    runs_per_strip_ = ceil_div(2 * kGrain, segment_ * floats);
    strips_ = blocked_ ? ceil_div(runs_ * groups_, runs_per_strip_) : pieces_ * groups_;
    group_bytes_ = (matrix_ ? n_ : n_ * pixels_) * floats * int64_t(dtype_bytes(x.dtype));
  }

  bool blocked() const { return blocked_; }
  int64_t images() const { return n_; }
  int64_t channels() const { return c_; }
  int64_t pixels() const { return pixels_; }  // of one image
  int64_t groups() const { return groups_; }
  int64_t pieces() const { return pieces_; }  // a group's runs in at most 64 tasks
  int64_t elements_per_channel() const { return n_ * pixels_; }
  int64_t group_bytes() const { return group_bytes_; }
  bool one_channel() const { return !blocked_ && !matrix_; }  // the lanes of a group are pixels of one channel
  int64_t first_channel(int64_t group) const { return one_channel() ? group : group * kBlock; }
  int channels_of(int64_t group) const {
    return one_channel() ? 1 : int(std::min<int64_t>(kBlock, c_ - group * kBlock));
  }

  int64_t strips() const { return strips_; }  // tasks of the same runs in the order of memory, where they are blocked

  // body(group, offset, pixels, stride, lanes) for every run of a strip. What small images have of one group is too
  // short for the caches' prefetchers, and for asking ahead.
  template <class Body>
  void visit_strip(int64_t strip, const Body& body) const {
    if (!blocked_) {
      const int64_t group = strip % groups_;
      visit(group, strip / groups_, [&](int64_t offset, int64_t pixels, int64_t stride, int lanes) {
        body(group, offset, pixels, stride, lanes);
      });
      return;
    }
    const int64_t end = std::min(runs_ * groups_, (strip + 1) * runs_per_strip_);
    for (int64_t run = strip * runs_per_strip_; run < end; ++run) {
      const int64_t plane = run / segments_, from = run % segments_ * segment_;
      body(plane % groups_, (plane * pixels_ + from) * kBlock, std::min(segment_, pixels_ - from), int64_t(kBlock),
           kBlock);
    }
  }

  // body(offset, pixels, stride, lanes) for every run of one piece of a group.
  template <class Body>
  void visit(int64_t group, int64_t piece, const Body& body) const {
    const int64_t end = std::min(runs_, (piece + 1) * runs_per_piece_);
    for (int64_t run = piece * runs_per_piece_; run < end; ++run) {
      const int64_t image = run / segments_, from = run % segments_ * segment_;
      const int64_t length = std::min(segment_, (matrix_ ? n_ : pixels_) - from);
      if (matrix_) {
        body(from * c_ + group * kBlock, length, c_, channels_of(group));
      } else if (blocked_) {
        body(((image * groups_ + group) * pixels_ + from) * kBlock, length, int64_t(kBlock), kBlock);
      } else {
        const int64_t at = (image * c_ + group) * pixels_ + from, whole = length / kBlock;
        if (whole > 0) body(at, whole, int64_t(kBlock), kBlock);
        if (length % kBlock) body(at + whole * kBlock, int64_t(1), int64_t(kBlock), int(length % kBlock));
      }
    }
  }

 private:
  static constexpr int64_t kMostPieces = 64;
  bool blocked_ = false, matrix_ = false;
  int64_t n_ = 1, c_ = 1, pixels_ = 1, groups_ = 1, group_bytes_ = 0;
  int64_t segment_ = 1, segments_ = 1, runs_ = 1, runs_per_piece_ = 1, pieces_ = 1, runs_per_strip_ = 1, strips_ = 1;
};

// Every run of all groups, for passes to which groups are alike.
template <class Body>
Status for_strips(const RunContext& context, const NormGroups& groups, ThreadPool::Order order, const Body& body) {
  return for_tasks(
      context, groups.strips(), [&](int64_t strip) { groups.visit_strip(strip, body); }, ThreadPool::kLong, order);
}

// Whether a group is small enough for one task to do all of it, its later passes finding in the second-level cache what
// the first one brought: half of a 2 MiB cache for the `operands` that are read twice.
inline bool group_fits_cache(const NormGroups& groups, int64_t operands) {
  return groups.group_bytes() * operands <= 1024 * 1024 && (groups.groups() >= 4 || groups.group_bytes() <= 64 * 1024);
}

}  // namespace fovea
