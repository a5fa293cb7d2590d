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
  // By step and input, whether it is steady. Nothing is where a step changes an external value that another one reads:
  // such a program cannot be run twice.
  static std::vector<std::vector<char>> steady_inputs(const ProgramSpec& spec);

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
  void forget() { known_ = false; }

 private:
  static constexpr uint64_t kNone = ~uint64_t(0);
  std::vector<uint64_t> look(void* const* data, ThreadPool& pool) const;
  void find_left_out(const ProgramSpec& spec, const std::vector<Kept>& kept);
  void find_watched(const ProgramSpec& spec, const std::vector<Kept>& kept);

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
  std::vector<uint64_t> seen_;
};

}  // namespace fovea
