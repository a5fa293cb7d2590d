// Threads that run one parallel loop at a time. The caller cuts the work into tasks such that no result depends on the
// cut or on which thread runs which task. Threads look for the next loop for a while after the last, then they park:
// short loops follow each other without a system call, and an idle process takes no time.
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
  // `nanoseconds`: what all tasks together take on one thread, as far as the caller can tell. What is shorter than
  // having other threads take part in it stays on the calling thread.
  void parallel_for(int64_t tasks, const std::function<void(int64_t task, int thread)>& body,
                    double nanoseconds = kLong);

  static constexpr double kLong = 1e9;

 private:
  struct State;
  State* state_;
};

}  // namespace fovea
