// Which steps of a program keep what they make of weights, and when that still holds.
//
// Weights are the external values that ProgramSpec::steady names, and what is folded from them, as batch normalisation
// into filters. A run begins with a look at all that something is kept of: if it is what it was, steps that keep
// something go on from there, and steps that do nothing but make their inputs are left out.
#pragma once
#include <cstdint>
#include <vector>

#include "runtime/arena.h"
#include "runtime/operation.h"
#include "runtime/status.h"

namespace fovea {

struct ProgramSpec;
class ThreadPool;

class Keeping {
 public:
  // Finds what is steady: nothing where a step changes an external value that another one reads, since a run may have
  // to be repeated.
  void look_at(const ProgramSpec& spec);
  const std::vector<char>& steady_inputs(size_t step) const { return inputs_[step]; }

  // `kept` of each step. kMemory when it is not to be had.
  Status plan(const ProgramSpec& spec, const std::vector<Kept>& kept);

  bool any() const { return bytes_ > 0; }
  uint64_t bytes() const { return bytes_; }
  std::byte* at(size_t step) const { return offsets_[step] == kNone ? nullptr : memory_.data() + offsets_[step]; }
  bool left_out(size_t step) const { return left_out_[step] != 0; }  // when all holds

  bool looks() const { return any() && !frozen_; }
  // Whether all that is kept still holds. `data` as for Program::run.
  bool holds(void* const* data, ThreadPool& pool);
  // After a run that has made everything: it holds, if the weights are still what they were when holds() was asked.
  void made(void* const* data, ThreadPool& pool);
  // After a run for which it did hold; `useful` if that run need not be repeated. With weights or inputs that are not
  // finite all must be, so after each one in a row twice as many runs make everything before the next tries.
  void used(bool useful);

 private:
  static constexpr uint64_t kNone = ~uint64_t(0);
  static constexpr int kMostWait = 64;
  std::vector<uint64_t> look(void* const* data, ThreadPool& pool) const;
  void find_left_out(const std::vector<Kept>& kept);
  void find_watched(const ProgramSpec& spec, const std::vector<Kept>& kept);

  std::vector<std::vector<int64_t>> makers_;  // by step and input, the step that has made it; -1 for external values
  std::vector<char> steps_;                   // whether the step folds, and all that it reads is steady
  std::vector<std::vector<char>> inputs_;     // by step and input, whether it is steady

  struct Watched {
    size_t external;
    size_t bytes;
  };
  Arena memory_;
  uint64_t bytes_ = 0;
  std::vector<uint64_t> offsets_;  // by step
  std::vector<char> left_out_;
  std::vector<Watched> watched_;
  bool frozen_ = false;
  bool known_ = false;
  int wait_ = 0, waited_ = 0;  // runs
  std::vector<uint64_t> seen_;
};

}  // namespace fovea
