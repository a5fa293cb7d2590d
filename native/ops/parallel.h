// Parallel loops whose tasks depend on the problem's shape alone, so that results do not depend on the threads.
#pragma once
#include <algorithm>
#include <cstdint>
#include <string>

#include "cpu/features.h"
#include "runtime/operation.h"
#include "runtime/thread_pool.h"

namespace fovea {

// Floats of one task: 32 KiB are a few microseconds of memory traffic, many times what handing out a task costs.
constexpr int64_t kGrain = 8192;

// What loops take at best on one thread, for ThreadPool::parallel_for: floats that are passed over, and multiply-adds.
constexpr double nanoseconds_of(double floats) { return floats * 0.2; }
constexpr double nanoseconds_of_flops(double flops) { return flops * 0.01; }

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }
// The size of parts that cuts `whole` into as many parts as `size` does, as evenly as can be.
constexpr int64_t even(int64_t whole, int64_t size) { return ceil_div(whole, ceil_div(whole, size)); }

// From the scratch of one thread to the next one's: a page between them, or the prefetchers of one core run into lines
// that the other is writing, at hundreds of nanoseconds each.
constexpr int64_t apart(int64_t floats) { return floats == 0 ? 0 : round_up(floats, 16) + 1024; }

// Whether so many bytes do not stay in the caches until their reader comes. Of just 16 MiB, which powers of two often
// make, half of them do: stored past the caches, the input gradient of one filter of 1×1 took 1.5 times as long, a
// ResNet-18 step in 'medium' 1.02 to 1.03 times (Zen 4).
constexpr bool outgrows_caches(double bytes) { return bytes > 16 * 1024 * 1024; }
// Whether so many bytes of results are stored past them: memory then need not deliver lines that are overwritten.
// Intel's cores have few such stores under way, and large caches behind them: 1.04 to 1.2 times the time (Emerald
// Rapids).
inline bool stored_past_caches(double bytes) { return outgrows_caches(bytes) && !cpu_features().intel; }

// A number of tasks, of which spec.cut makes more or fewer.
constexpr int64_t times(int64_t tasks, double cut) {
  return std::max<int64_t>(1, static_cast<int64_t>(static_cast<double>(tasks) * cut));
}

// How many units of `floats` floats make up a task.
constexpr int64_t units_per_task(int64_t floats) {
  return floats >= kGrain ? 1 : ceil_div(kGrain, floats < 1 ? 1 : floats);
}

// What a loop of so many tasks takes at most when no thread is idle before all have begun: `total` of all, `longest` of
// one.
inline double makespan(double total, double longest, int64_t tasks, int threads) {
  const double rounds = static_cast<double>(ceil_div(tasks, threads)) * longest;
  return std::min(rounds, total / threads + longest);
}

// body(task) for every task, none after the run was cancelled. `nanoseconds`, `order`: see ThreadPool::parallel_for.
// Tasks count images (or batches) outermost where they can, so that every loop gives a thread the same part of them.
template <class Body>
Status for_tasks(const RunContext& context, int64_t tasks, const Body& body, double nanoseconds = ThreadPool::kLong,
                 ThreadPool::Order order = ThreadPool::Order::kForward) {
  const std::atomic<bool>& cancelled = context.cancelled;
  context.pool.parallel_for(
      tasks,
      [&cancelled, &body](int64_t task, int) {
        if (!cancelled.load(std::memory_order_relaxed)) body(task);
      },
      nanoseconds, order);
  return cancelled.load(std::memory_order_relaxed) ? Status(Code::kAborted, "aborted") : Status();
}

// The same for bodies that have memory of their own: body(task, thread).
template <class Body>
Status for_tasks_of_threads(const RunContext& context, int64_t tasks, const Body& body) {
  const std::atomic<bool>& cancelled = context.cancelled;
  context.pool.parallel_for(tasks, [&cancelled, &body](int64_t task, int thread) {
    if (!cancelled.load(std::memory_order_relaxed)) body(task, thread);
  });
  return cancelled.load(std::memory_order_relaxed) ? Status(Code::kAborted, "aborted") : Status();
}

// body(begin, end) over [0, units), `per_task` at a time: about kGrain floats of them, or a single one that may be
// larger.
template <class Body>
Status for_ranges(const RunContext& context, int64_t units, int64_t per_task, const Body& body) {
  const int64_t tasks = ceil_div(units, per_task);
  return for_tasks(
      context, tasks, [&](int64_t task) { body(task * per_task, std::min(units, (task + 1) * per_task)); },
      per_task == 1 ? ThreadPool::kLong : nanoseconds_of(static_cast<double>(kGrain * tasks)));
}

inline std::string describe_kernel(const char* family, const char* isa, int64_t tasks) {
  return std::string(family) + " " + isa + ", tasks " + std::to_string(tasks);
}

}  // namespace fovea
