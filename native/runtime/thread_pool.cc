#include "runtime/thread_pool.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "cpu/limits.h"
#include "runtime/denormals.h"

namespace fovea {
namespace {

using Clock = std::chrono::steady_clock;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// Looks at `done` for about `window`, giving the core away now and then so that whoever we wait for can have it.
template <class Done>
bool spin(std::chrono::microseconds window, const Done& done) {
  const auto deadline = Clock::now() + window;
  do {
    for (int i = 0; i < 32; ++i) {
      if (done()) return true;
      pause();
    }
    std::this_thread::yield();
  } while (Clock::now() < deadline);
  return done();
}

// Announcing a loop to threads that look for one, and waiting for the last of them, takes about a microsecond; a parked
// thread must be woken by the system, which takes the caller 5 microseconds and starts the thread 20 to 50 later.
constexpr double kWorthSharing = 3e3, kWorthWaking = 3e4;

// A loop in the works is announced by one word: generation in the high half, then whether threads may still enter, then
// how many workers are inside. A worker that wakes too late finds the gate closed and holds nobody up.
constexpr uint64_t kOpen = uint64_t(1) << 31;
constexpr uint64_t kInside = kOpen - 1;
constexpr uint64_t kGeneration = uint64_t(1) << 32;

}  // namespace

struct ThreadPool::State {
  std::vector<std::thread> workers;
  std::chrono::microseconds window{80};

  alignas(64) std::atomic<uint64_t> gate{0};
  alignas(64) std::atomic<int64_t> next{0};
  alignas(64) const std::function<void(int64_t, int)>* body = nullptr;  // written while the gate is closed and empty
  int64_t tasks = 0;

  alignas(64) std::atomic<int> sleepers{0};
  std::atomic<bool> caller_sleeps{false};
  std::atomic<bool> stop{false};
  std::mutex mutex;
  std::condition_variable work, finished;

  bool worth_waking(uint64_t seen) const {
    const uint64_t now = gate.load();
    return stop.load() || (now / kGeneration != seen && (now & kOpen));
  }

  void drain(int thread) {
    for (int64_t task; (task = next.fetch_add(1, std::memory_order_relaxed)) < tasks;) (*body)(task, thread);
  }

  // Enters the loop that is announced, unless it has closed meanwhile.
  void join_in(int thread) {
    uint64_t now = gate.load();
    while (now & kOpen) {
      if (!gate.compare_exchange_weak(now, now + 1)) continue;
      drain(thread);
      const uint64_t left = gate.fetch_sub(1) - 1;
      if ((left & (kOpen | kInside)) == 0 && caller_sleeps.load()) {
        std::lock_guard<std::mutex> lock(mutex);
        finished.notify_one();
      }
      return;
    }
  }

  void serve(int thread) {
    const FlushDenormals flush;
    uint64_t seen = 0;
    for (;;) {
      if (!spin(window, [&] { return worth_waking(seen); })) {
        std::unique_lock<std::mutex> lock(mutex);
        sleepers.fetch_add(1);
        work.wait(lock, [&] { return worth_waking(seen); });
        sleepers.fetch_sub(1);
      }
      if (stop.load()) return;
      seen = gate.load() / kGeneration;
      join_in(thread);
    }
  }

  bool worth_sharing(double nanoseconds) const {
    const bool parked = sleepers.load(std::memory_order_relaxed) == int(workers.size());
    return nanoseconds >= (parked ? kWorthWaking : kWorthSharing);
  }

  void wake(int64_t wanted) {
    if (sleepers.load() == 0) return;
    std::lock_guard<std::mutex> lock(mutex);
    if (wanted >= int64_t(workers.size())) {
      work.notify_all();
    } else {
      for (int64_t i = 0; i < wanted; ++i) work.notify_one();
    }
  }

  void wait_until_empty() {
    const auto empty = [&] { return (gate.load() & kInside) == 0; };
    if (empty() || spin(window, empty)) return;
    std::unique_lock<std::mutex> lock(mutex);
    caller_sleeps.store(true);
    finished.wait(lock, empty);
    caller_sleeps.store(false);
  }
};

ThreadPool::ThreadPool(int threads) : state_(new State) {
  if (threads > available_threads()) state_->window = std::chrono::microseconds(10);
  try {
    for (int i = 1; i < threads; ++i) state_->workers.emplace_back([this, i] { state_->serve(i); });
  } catch (const std::system_error&) {
    // The system has no more threads for us. Fewer do the same work.
  }
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard<std::mutex> lock(state_->mutex);
    state_->stop.store(true);
    state_->work.notify_all();
  }
  for (std::thread& worker : state_->workers) worker.join();
  delete state_;
}

int ThreadPool::threads() const { return int(state_->workers.size()) + 1; }

void ThreadPool::parallel_for(int64_t tasks, const std::function<void(int64_t task, int thread)>& body,
                              double nanoseconds) {
  const FlushDenormals flush;
  State& s = *state_;
  if (tasks <= 1 || s.workers.empty() || !s.worth_sharing(nanoseconds)) {
    for (int64_t task = 0; task < tasks; ++task) body(task, 0);
    return;
  }
  s.body = &body;
  s.tasks = tasks;
  s.next.store(0, std::memory_order_relaxed);
  s.gate.store(((s.gate.load() / kGeneration + 1) * kGeneration) | kOpen);
  s.wake(tasks - 1);
  s.drain(0);
  s.gate.fetch_and(~kOpen);
  s.wait_until_empty();
}

}  // namespace fovea
