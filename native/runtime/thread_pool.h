// Threads that run one parallel loop at a time. Work is cut by the caller into tasks whose number depends only on the
// problem's shape; which thread runs which task may differ from run to run, what a task computes may not.
#pragma once
#include <cstdint>
#include <functional>

namespace fovea {

class ThreadPool {
 public:
  explicit ThreadPool(int threads);  // the calling thread is one of them: threads - 1 are started
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const;

  // Calls body(task, thread) for every task in [0, tasks), 0 <= thread < threads(); returns when all are done.
  // Tasks are handed out in order, one at a time. body must not throw. Not reentrant.
  void parallel_for(int64_t tasks, const std::function<void(int64_t task, int thread)>& body);

 private:
  struct State;
  State* state_;
};

}  // namespace fovea
