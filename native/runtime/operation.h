// What an operator is to the executor: made once per shape (planning may be slow), run many times (running may not).
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/status.h"

namespace fovea {

class ThreadPool;
class ConvEpilogue;

// kBfloat16 is how a program of precision kMedium may keep a float32 value between its steps, blocked and in the arena:
// rounded to nearest even by the step that writes it. Nothing that a caller gives or gets is of it.
enum class DType : uint8_t { kFloat32, kFloat64, kInt32, kUint8, kBfloat16 };
size_t dtype_bytes(DType dtype);

// kPlain: row-major in the order of the shape. kBlocked (rank 4 only): [N][ceil(C/16)][H][W][16]; the lanes of channels
// that do not exist hold zeros, and whoever writes a blocked value writes those zeros.
enum class Layout : uint8_t { kPlain, kBlocked };
constexpr int kBlock = 16;
constexpr int64_t blocks(int64_t channels) { return (channels + kBlock - 1) / kBlock; }

struct Operand {
  bool present = false;  // an absent optional operand has no shape and a null pointer
  DType dtype = DType::kFloat32;
  Layout layout = Layout::kPlain;
  std::vector<int64_t> shape;
  bool steady = false;  // most runs find in an input what the run before found there: weights, outside of training

  int64_t elements() const;  // in memory: with the padding lanes when blocked
  size_t bytes() const { return static_cast<size_t>(elements()) * dtype_bytes(dtype); }
};

// Hyperparameters by name. A missing or ill-typed name makes ok() false; check it once after reading all.
class Attributes {
 public:
  void set(const std::string& name, std::vector<double> numbers) { numbers_[name] = std::move(numbers); }
  void set(const std::string& name, std::string text) { texts_[name] = std::move(text); }
  int64_t integer(const std::string& name) const;  // whole numbers; booleans are 0 and 1
  double real(const std::string& name) const;
  std::vector<int64_t> integers(const std::string& name, size_t count) const;  // exactly `count` of them
  std::vector<double> reals(const std::string& name) const;
  std::string text(const std::string& name) const;
  bool has(const std::string& name) const { return numbers_.count(name) + texts_.count(name) > 0; }
  Status status(const char* op) const;  // kOption naming the first attribute that was missing or ill-typed

 private:
  std::map<std::string, std::vector<double>> numbers_;
  std::map<std::string, std::string> texts_;
  mutable std::string missing_;
};

// How exact products of float32 values have to be; docs/performance.md has the bounds. kHighest: float32 or better.
// kHigh: each value as the sum of two bfloat16. kMedium: each value as one bfloat16; sums are float32 in all of them.
// An operator may always be more exact than it has to be.
enum class Precision : uint8_t { kHighest, kHigh, kMedium };

struct OpSpec {
  std::string name;
  std::vector<Operand> inputs, outputs;
  Attributes attributes;
  Precision precision = Precision::kHighest;
  int threads = 1;       // at most so many threads will run it; results must not depend on it
  bool measure = false;  // whether ways to compute it may be timed, else the model chooses
  int tile_blocks = 0;   // columns of the tiles of products, in blocks of 16; 0: the model chooses
  double cut = 1;        // into so many times as many tasks as the model would choose
};

// What an operation makes of steady inputs, and need not make again while they stay as they are.
struct Kept {
  size_t bytes = 0;     // 0: nothing
  uint32_t inputs = 0;  // bit i: of input i
  bool of(size_t input) const { return input < 32 && (inputs >> input & 1); }
};

struct RunContext {
  const void* const* inputs;  // null where absent
  void* const* outputs;
  std::byte* workspace;  // workspace_bytes() of them, 64-byte aligned, contents undefined
  ThreadPool& pool;
  const std::atomic<bool>& cancelled;  // long operators look at it between tasks and return kAborted
  uint64_t counter;                    // which run this is: feeds the random operators
  // Set by an operation whose way of computing may give Inf or NaN where the plain sum would not, when it did. Null:
  // nobody wants to know.
  std::atomic<bool>* not_finite = nullptr;
  const ConvEpilogue* epilogue = nullptr;  // ops/conv_epilogue.h: only for operators that have slots for it
  // kept().bytes of them, 64-byte aligned, which nobody else writes to. `holds`: an earlier run has filled them from
  // the same inputs; what those point to is not to be read, and may be anything.
  std::byte* kept = nullptr;
  bool holds = false;

  template <class T>
  const T* in(size_t i) const {
    return static_cast<const T*>(inputs[i]);
  }
  template <class T>
  T* out(size_t i) const {
    return static_cast<T*>(outputs[i]);
  }
};

class Operation {
 public:
  virtual ~Operation() = default;
  virtual size_t workspace_bytes() const { return 0; }
  virtual Kept kept() const { return {}; }
  // kStale where it needs inputs that are not to be read: it is then run again, with all of them.
  virtual Status run(const RunContext& context) const = 0;
  // Convolutions that hand every part of their output to RunContext::epilogue say into how many slots they cut it; 0:
  // they do not.
  virtual int64_t epilogue_slots() const { return 0; }
  // Its parallel loops in order, each as what its tasks cost in relation to each other (cycles, by estimate), as they
  // are handed out; empty where an operator does not tell. Tests compute from it how long threads wait.
  virtual std::vector<std::vector<double>> loops() const { return {}; }
  // Algorithm, kernel and blocking, for people: "brgemm 14x32 avx512, rows 14, tasks 64".
  virtual std::string describe() const { return {}; }
};

}  // namespace fovea
