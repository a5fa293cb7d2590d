// One block of zeroed memory for all of a program's values, returned to the system when it goes. Nothing is touched
// before the first run: where there are several memory nodes, a page lies on that of the thread whose task writes it
// first, so a value is spread over the nodes like the tasks of the loop that makes it. Threads are not pinned and tasks
// not bound to threads; `numactl --interleave=all`, or one process for each node, does better where that matters.
#pragma once
#include <cstddef>
#include <cstdint>

#include "runtime/status.h"

namespace fovea {

class Arena {
 public:
  static constexpr size_t kAlignment = 64;

  Arena() = default;
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // kMemory when the bytes are not there. Large blocks are checked first, against free memory and, with all other
  // arenas (which may not have been written to yet), against all memory: Linux promises more than it has and kills
  // later.
  Status allocate(uint64_t bytes);
  std::byte* data() const { return data_; }

 private:
  void* base_ = nullptr;
  size_t mapped_ = 0;
  uint64_t counted_ = 0;  // its part of the process's sum
  std::byte* data_ = nullptr;
};

}  // namespace fovea
