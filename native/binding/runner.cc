#include "binding/runner.h"

#include <system_error>

namespace fovea {
namespace {  // The first array whose buffer was detached while the run had it, so that what was written went with the
             // buffer, or -1.
int64_t find_detached(Napi::Env env, napi_value arrays, const Program& program) {
  for (size_t i = 0; i < program.externals().size(); ++i) {
    if (!program.externals()[i].present) continue;
    napi_value array, buffer;
    bool is = false;
    size_t length = 0;
    if (napi_get_element(env, arrays, uint32_t(i), &array) != napi_ok) return -1;
    if (napi_is_typedarray(env, array, &is) != napi_ok || !is) continue;
    if (napi_get_typedarray_info(env, array, nullptr, &length, nullptr, &buffer, nullptr) != napi_ok) continue;
    if (length == 0) return int64_t(i);  // no value is empty
  }
  return -1;
}

}  // namespace

Runner::~Runner() {
  // shut_down() has joined; this is for environments whose setup failed half way.
  if (thread_.joinable()) thread_.join();
}

Status Runner::start(Napi::Env env) {
  if (thread_.joinable()) return {};
  try {
    thread_ = std::thread([this] { serve(); });
  } catch (const std::system_error&) {
    return {Code::kBackend, "program: the system has no thread left to run on"};
  }
  channel_ = Channel::New(env, "fovea", 0, 1, this);
  channel_.Unref(env);  // an idle runner does not keep the process alive
  return {};
}

Status Runner::submit(Napi::Env env, std::unique_ptr<Job>* job) {
  FOVEA_RETURN_IF_ERROR(start(env));
  if (in_flight_.empty()) channel_.Ref(env);
  Job* raw = job->release();
  in_flight_.insert(raw);
  raw->compiled->running = true;
  raw->compiled->cancelled.store(false);
  std::lock_guard<std::mutex> lock(queue_mutex_);
  queue_.push_back(raw);
  wake_.notify_one();
  return {};
}

void Runner::serve() {
  for (;;) {
    Job* job = nullptr;
    {
      std::unique_lock<std::mutex> lock(queue_mutex_);
      wake_.wait(lock, [&] { return stop_ || !queue_.empty(); });
      if (stop_) return;
      job = queue_.front();
      queue_.pop_front();
    }
    run(*job);
    job->delivered = true;
    if (channel_.NonBlockingCall(job) == napi_ok) continue;
    job->delivered = false;  // the environment is going down: shut_down() frees the job
    return;
  }
}

void Runner::run(Job& job) {
  std::lock_guard<std::mutex> lock(compute_);
  Program& program = *job.compiled->program;
  try {
    job.status = program.run(job.data.data(), job.counter, pool(program.threads()), job.compiled->cancelled);
  } catch (const std::exception& error) {
    job.status = {Code::kMemory, std::string("program: ") + error.what()};
  }
}

ThreadPool& Runner::pool(int threads) {
  std::unique_ptr<ThreadPool>& found = pools_[threads];
  if (!found) found.reset(new ThreadPool(threads));
  return *found;
}

Status Runner::run_now(Compiled& compiled, void* const* data, uint64_t counter) {
  compiled.cancelled.store(false);
  Program& program = *compiled.program;
  std::unique_lock<std::mutex> lock(compute_, std::defer_lock);
  const bool pooled = program.threads() > 1 && lock.try_lock();
  return program.run(data, counter, pooled ? pool(program.threads()) : alone_, compiled.cancelled);
}

void Runner::settle(Napi::Env env, Napi::Function, Runner* runner, Job* job) {
  const std::unique_ptr<Job> owned(job);
  if (static_cast<napi_env>(env) == nullptr)
    return;  // torn down: neither the runner nor the promise are there any more
  job->compiled->running = false;
  runner->in_flight_.erase(job);
  if (runner->in_flight_.empty()) runner->channel_.Unref(env);
  napi_value arrays = nullptr;
  napi_get_reference_value(env, job->arrays, &arrays);
  const int64_t detached = arrays ? find_detached(env, arrays, *job->compiled->program) : -1;
  if (job->status.ok() && detached >= 0) {
    job->status = {Code::kData,
                   "program: the buffer of array " + std::to_string(detached) + " was detached during the run"};
  }
  napi_delete_reference(env, job->arrays);
  if (job->status.ok()) {
    napi_resolve_deferred(env, job->deferred, env.Undefined());
  } else {
    napi_reject_deferred(env, job->deferred, make_error(env, job->status).Value());
  }
}

void Runner::shut_down(Napi::Env env) {
  for (Job* job : in_flight_) job->compiled->cancelled.store(true);
  {
    std::lock_guard<std::mutex> lock(queue_mutex_);
    stop_ = true;
    wake_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
  for (Job* job : in_flight_) {
    napi_delete_reference(env, job->arrays);
    if (!job->delivered) delete job;
  }
  in_flight_.clear();
  pools_.clear();
}

}  // namespace fovea
