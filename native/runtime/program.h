// A static program: steps run first to last over values in one arena and in arrays that the caller gives at each run.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/arena.h"
#include "runtime/keeping.h"
#include "runtime/operation.h"
#include "runtime/status.h"

namespace fovea {

struct ValueSpec {
  Operand operand;
  int64_t external = -1;  // >= 0: given at each run under this number, and `offset` means nothing
  uint64_t offset = 0;    // bytes into the arena, a multiple of 64
};

struct StepSpec {
  std::string name;
  std::vector<int64_t> inputs, outputs;  // indices into values; -1 for an absent optional operand
  Attributes attributes;
};

struct ProgramSpec {
  std::vector<ValueSpec> values;
  std::vector<StepSpec> steps;
  int64_t externals = 0;
  std::vector<int64_t> steady;  // externals that most runs find as the run before has: see keeping.h
  bool frozen = false;          // they do not change after the first run
  uint64_t arena_bytes = 0;
  int64_t threads = 1;
  Precision precision = Precision::kHighest;  // of every step
  bool measure = false;                       // see OpSpec
};

class Program {
 public:
  static constexpr int64_t kMaxThreads = 256;

  // Trusts nothing in `spec`: whatever passes can be run on external arrays of the sizes that external() names.
  // kShape, kOption, kDtype or kData for a spec that cannot be, kMemory when the arena is not to be had.
  // Where there is no memory for what is kept of weights, nothing is.
  static Status make(const ProgramSpec& spec, std::unique_ptr<Program>* program);

  // What the caller has to give; `present` is false where no value is bound to the number and nothing is looked at.
  struct External {
    bool present = false;
    DType dtype = DType::kFloat32;
    size_t elements = 0;
  };
  const std::vector<External>& externals() const { return externals_; }

  // Runs every step. `pool` has at most threads() of them. `data[i]` stands for external i, aligned for its element
  // type only. Not reentrant. After a failure, what was written is undefined, except as an operator promises; but when
  // the steps that update externals in place stand at the end, as in a training step, a cancelled run has updated none
  // of them.
  Status run(void* const* data, uint64_t counter, ThreadPool& pool, const std::atomic<bool>& cancelled);

  int threads() const { return threads_; }
  uint64_t memory_bytes() const { return memory_bytes_ + keeping_.bytes(); }  // arena, workspace, and what is kept
  uint64_t kept_bytes() const { return keeping_.bytes(); }
  double look_milliseconds() const;     // that the last run took to see whether what is kept still holds
  std::vector<double> profile() const;  // milliseconds per step of the last run; callable at any time
  std::vector<std::string> describe() const;
  std::vector<std::vector<std::vector<double>>> loops() const;  // of each step, see Operation

 private:
  struct Step {
    std::unique_ptr<Operation> operation;
    std::vector<const void*> inputs;
    std::vector<void*> outputs;
    uint64_t workspace = 0;  // offset into the arena
  };
  struct Patch {  // a place in some step's operands that holds an external array's address
    const void** input = nullptr;
    void** output = nullptr;
    size_t external = 0;
  };

  Program() = default;
  Status check_values(const ProgramSpec& spec);
  static Status make_once(const ProgramSpec& spec, std::unique_ptr<Program>* program);
  Status make_step(const ProgramSpec& spec, size_t index);
  Status take_memory(const ProgramSpec& spec);
  void bind(const ProgramSpec& spec);
  void find_first_update(const ProgramSpec& spec);
  Status run_steps(bool holds, uint64_t counter, ThreadPool& pool, const std::atomic<bool>& cancelled);

  int threads_ = 1;
  uint64_t memory_bytes_ = 0;
  Arena arena_;
  Keeping keeping_;
  std::vector<External> externals_;
  std::vector<Step> steps_;
  std::vector<std::string> names_;
  size_t first_update_ = 0;  // step from which on a run is not cancelled; number of steps if there is none
  std::vector<Patch> patches_;
  std::unique_ptr<std::atomic<int64_t>[]> nanoseconds_;
  std::atomic<int64_t> look_nanoseconds_{0};
};

}  // namespace fovea
