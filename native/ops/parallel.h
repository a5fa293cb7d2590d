// Parallel loops whose tasks depend on the problem's shape alone, so that results do not depend on the threads.
#pragma once
#include <algorithm>
#include <cstdint>
#include <string>

#include "runtime/operation.h"
#include "runtime/thread_pool.h"

namespace fovea {

// Floats of one task: 64 KiB are several microseconds of memory traffic, many times what handing out a task costs.
constexpr int64_t kGrain = 16384;

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// How many units of `floats` floats make up a task.
constexpr int64_t units_per_task(int64_t floats) {
  return floats >= kGrain ? 1 : ceil_div(kGrain, floats < 1 ? 1 : floats);
}

// body(task) for every task, none after the run was cancelled.
template <class Body>
Status for_tasks(const RunContext& context, int64_t tasks, const Body& body) {
  const std::atomic<bool>& cancelled = context.cancelled;
  context.pool.parallel_for(tasks, [&cancelled, &body](int64_t task, int) {
    if (!cancelled.load(std::memory_order_relaxed)) body(task);
  });
  return cancelled.load(std::memory_order_relaxed) ? Status(Code::kAborted, "aborted") : Status();
}

// body(begin, end) over [0, units), `per_task` at a time.
template <class Body>
Status for_ranges(const RunContext& context, int64_t units, int64_t per_task, const Body& body) {
  return for_tasks(context, ceil_div(units, per_task),
                   [&](int64_t task) { body(task * per_task, std::min(units, (task + 1) * per_task)); });
}

inline std::string describe_kernel(const char* family, const char* isa, int64_t tasks) {
  return std::string(family) + " " + isa + ", tasks " + std::to_string(tasks);
}

}  // namespace fovea
