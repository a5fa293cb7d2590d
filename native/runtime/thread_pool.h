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

  enum class Order { kForward, kBackward };

  // Calls body(task, thread) for every task in [0, tasks), 0 <= thread < threads(); returns when all are done. Of
  // threads that take part each has its own number, the same core's the same one if it can be: memory of its own that
  // is counted by it stays in that core's caches. body must not throw. Not reentrant.
  //
  // Every core has a share of consecutive tasks, the same in every loop of as many tasks; its thread takes them one at
  // a time in `order`, and when it is through takes from the other end of the largest share that is left. So loops that
  // count images alike find in a core's caches what that core has written: cores may lie in different cache clusters or
  // sockets, where a line that the other side holds costs more than one from memory.
  //
  // `nanoseconds`: what all tasks together take on one thread, as far as the caller can tell. What is shorter than
  // having other threads take part in it stays on the calling thread.
  void parallel_for(int64_t tasks, const std::function<void(int64_t task, int thread)>& body,
                    double nanoseconds = kLong, Order order = Order::kForward);

  static constexpr double kLong = 1e9;

 private:
  struct State;
  State* state_;
};

}  // namespace fovea
