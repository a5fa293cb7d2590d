#include "runtime/thread_pool.h"

#if defined(__linux__)
#include <sched.h>
#endif

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
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

int current_core(int unknown) {
#if defined(__linux__)
  const int core = sched_getcpu();
  if (core >= 0) return core;
#endif
  return unknown;
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

// Announcing a loop to threads that look for one, and waiting for the last of them, takes about a microsecond, and as
// long again for every 24 KiB that another core has written or will read, where they share no cache; a parked thread
// must be woken by the system, which takes the caller 5 microseconds and starts the thread 20 to 50 later.
constexpr double kWorthSharing = 8e3, kWorthWaking = 3e4;

// A loop in the works is announced by one word: generation in the high half, then whether threads may still enter, then
// how many workers are inside. A worker that wakes too late finds the gate closed and holds nobody up.
constexpr uint64_t kOpen = uint64_t(1) << 31;
constexpr uint64_t kInside = kOpen - 1;
constexpr uint64_t kGeneration = uint64_t(1) << 32;

constexpr int64_t kMostShared = int64_t(1) << 31;  // tasks that a Range can count; nobody cuts finer

// The tasks that a thread has before it, [first, last) in one word, so that whoever takes one at either end takes it
// alone. The thread itself takes from one end, whoever has nothing left from the other.
struct alignas(64) Range {
  std::atomic<uint64_t> word{0};
  std::atomic<bool> owned{false};

  static constexpr uint64_t pack(uint64_t first, uint64_t last) { return first << 32 | last; }
  static constexpr uint64_t first_of(uint64_t word) { return word >> 32; }
  static constexpr uint64_t last_of(uint64_t word) { return word & 0xffffffffu; }

  uint64_t left() const {
    const uint64_t now = word.load(std::memory_order_relaxed);
    return last_of(now) - first_of(now);
  }

  // A task of this range, or -1.
  int64_t take(bool front) {
    uint64_t now = word.load(std::memory_order_relaxed);
    for (;;) {
      const uint64_t first = first_of(now), last = last_of(now);
      if (first == last) return -1;
      const uint64_t rest = front ? pack(first + 1, last) : pack(first, last - 1);
      if (word.compare_exchange_weak(now, rest, std::memory_order_relaxed)) return int64_t(front ? first : last - 1);
    }
  }
};

}  // namespace

struct ThreadPool::State {
  std::vector<std::thread> workers;
  std::chrono::microseconds window{80};

  alignas(64) std::atomic<uint64_t> gate{0};
  std::unique_ptr<Range[]> ranges;                                      // one for each thread
  alignas(64) const std::function<void(int64_t, int)>* body = nullptr;  // written while the gate is closed and empty
  bool forward = true;

  alignas(64) std::atomic<int> sleepers{0};
  std::atomic<bool> caller_sleeps{false};
  std::atomic<bool> stop{false};
  std::mutex mutex;
  std::condition_variable work, finished;

  bool worth_waking(uint64_t seen) const {
    const uint64_t now = gate.load();
    return stop.load() || (now / kGeneration != seen && (now & kOpen));
  }

  int threads() const { return int(workers.size()) + 1; }

  // Written while nobody is inside, announced by the gate.
  void share(uint64_t tasks) {
    const uint64_t parts = uint64_t(threads());
    const auto begin = [&](uint64_t part) { return (tasks * part + parts - 1) / parts; };
    for (uint64_t t = 0; t < parts; ++t) {
      ranges[t].word.store(Range::pack(begin(t), begin(t + 1)), std::memory_order_relaxed);
      ranges[t].owned.store(false, std::memory_order_relaxed);
    }
  }

  void drain(int thread) {
    const int share = claim(thread);
    for (int64_t task; (task = ranges[share].take(forward)) >= 0;) (*body)(task, share);
    for (int victim; (victim = richest()) >= 0;) {
      const int64_t task = ranges[victim].take(!forward);
      if (task >= 0) (*body)(task, share);
    }
  }

  // The share of the core that we are on: threads move between cores, what is in a core's caches does not.
  int claim(int thread) {
    const int core = current_core(thread);
    int share = core % threads();
    while (ranges[share].owned.exchange(true, std::memory_order_relaxed)) share = (share + 1) % threads();
    return share;
  }

  // Whose share has most tasks left; -1 when there are none.
  int richest() const {
    int best = -1;
    uint64_t most = 0;
    for (int t = 0; t < threads(); ++t) {
      const uint64_t left = ranges[t].left();
      if (left > most) best = t, most = left;
    }
    return best;
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
  state_->ranges.reset(new Range[threads < 1 ? 1 : threads]);
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

int ThreadPool::threads() const { return state_->threads(); }

void ThreadPool::parallel_for(int64_t tasks, const std::function<void(int64_t task, int thread)>& body,
                              double nanoseconds, Order order) {
  const FlushDenormals flush;
  State& s = *state_;
  const bool forward = order == Order::kForward;
  if (tasks <= 1 || tasks > kMostShared || s.workers.empty() || !s.worth_sharing(nanoseconds)) {
    for (int64_t i = 0; i < tasks; ++i) body(forward ? i : tasks - 1 - i, 0);
    return;
  }
  s.body = &body;
  s.forward = forward;
  s.share(uint64_t(tasks));
  s.gate.store(((s.gate.load() / kGeneration + 1) * kGeneration) | kOpen);
  s.wake(tasks - 1);
  s.drain(0);
  s.gate.fetch_and(~kOpen);
  s.wait_until_empty();
}

}  // namespace fovea
