// The JavaScript class behind `createProgram`: a compiled program with run, cancel, profile, describe, dispose.
#pragma once
#include <memory>

#include "binding/napi.h"
#include "binding/runner.h"

namespace fovea {

// What one environment (the main thread, or a worker) has of the addon.
struct Instance {
  Runner runner;
  Napi::FunctionReference program_class;
  Napi::FunctionReference resizable;  // the getter of ArrayBuffer.prototype.resizable, where there is one
};

// V8 refuses to call these methods on any object that the constructor has not made.
class ProgramObject : public Napi::ObjectWrap<ProgramObject> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit ProgramObject(const Napi::CallbackInfo& info);  // (spec)
  void Finalize(Napi::BasicEnv env) override { drop(env); }

 private:
  Napi::Value run_sync(const Napi::CallbackInfo& info);  // (externals, counter = 0)
  Napi::Value run(const Napi::CallbackInfo& info);       // (externals, counter = 0) → Promise
  Napi::Value cancel(const Napi::CallbackInfo& info);
  Napi::Value profile(const Napi::CallbackInfo& info);
  Napi::Value describe(const Napi::CallbackInfo& info);
  Napi::Value kept(const Napi::CallbackInfo& info);   // { bytes, milliseconds }
  Napi::Value loops(const Napi::CallbackInfo& info);  // for tests: [step][loop][task], costs
  Napi::Value dispose(const Napi::CallbackInfo& info);
  Napi::Value arena_bytes(const Napi::CallbackInfo& info);

  void drop(Napi::BasicEnv env);        // a run in flight holds the memory until it has stopped
  Compiled& ready(Napi::Env env);       // throws ERR_DISPOSED
  Compiled& ready_idle(Napi::Env env);  // and ERR_BUSY

  std::shared_ptr<Compiled> compiled_;
};

}  // namespace fovea
