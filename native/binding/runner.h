// Where programs run: one thread per JavaScript environment takes asynchronous runs in order, with the environment's
// pools.
#pragma once
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "binding/napi.h"
#include "runtime/program.h"
#include "runtime/thread_pool.h"

namespace fovea {

// A program and its state, shared by its JavaScript object and a job in flight.
struct Compiled {
  std::unique_ptr<Program> program;
  std::atomic<bool> cancelled{false};
  bool running = false;  // belongs to the JavaScript thread, as everything but `program->run` and `cancelled`
};

// One asynchronous run. Only `compiled`, `data`, `counter`, `status` are touched off the JavaScript thread.
struct Job {
  std::shared_ptr<Compiled> compiled;
  std::vector<void*> data;
  uint64_t counter = 0;
  Status status;
  napi_deferred deferred = nullptr;
  napi_ref arrays = nullptr;                  // a private list of the typed arrays
  std::vector<std::shared_ptr<void>> stores;  // and of the memory behind them
  bool delivered = false;                     // handed to the JavaScript thread's queue, which then owns it
};

class Runner {
 public:
  Runner() = default;
  ~Runner();

  // JavaScript thread. Takes the job and settles its promise later. kBackend when no thread can be started.
  Status submit(Napi::Env env, std::unique_ptr<Job>* job);

  // JavaScript thread. Runs now, on the pool when it is idle, else on this thread alone: results are the same.
  Status run_now(Compiled& compiled, void* const* data, uint64_t counter);

  // JavaScript thread, before the environment goes: cancels what runs, drops what waits, joins. Must not be put off to
  // an asynchronous hook: the queue to the JavaScript thread is freed as soon as the synchronous hooks have returned.
  void shut_down(Napi::Env env);

 private:
  static void settle(Napi::Env env, Napi::Function, Runner* runner, Job* job);
  using Channel = Napi::TypedThreadSafeFunction<Runner, Job, &Runner::settle>;

  Status start(Napi::Env env);
  void serve();
  void run(Job& job);
  ThreadPool& pool(int threads);  // with compute_ held

  std::thread thread_;
  Channel channel_;
  std::set<Job*> in_flight_;  // JavaScript thread: submitted and not settled
  ThreadPool alone_{1};       // JavaScript thread

  std::mutex queue_mutex_;
  std::condition_variable wake_;
  std::deque<Job*> queue_;
  bool stop_ = false;

  std::mutex compute_;  // held while a program runs on the pools
  std::map<int, std::unique_ptr<ThreadPool>> pools_;
};

}  // namespace fovea
