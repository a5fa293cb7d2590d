// The addon's entry: what lib/backend/native.ts sees.
#include "binding/napi.h"
#include "binding/program_object.h"
#include "binding/read_spec.h"
#include "cpu/features.h"
#include "cpu/limits.h"
#include "kernels/peak/peak.h"
#include "kernels/report.h"
#include "ops/plan.h"
#include "ops/registry.h"

namespace fovea {
namespace {

// info() → { isa, detected, cpu, threads, caches, kernels, compiler, problem? }
Napi::Value info(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const CpuFeatures& cpu = cpu_features();
  const Napi::Object caches = Napi::Object::New(env);
  caches.Set("l1d", double(cpu.l1d_bytes));
  caches.Set("l2", double(cpu.l2_bytes));
  caches.Set("l3", double(cpu.l3_bytes));
  const Napi::Object result = Napi::Object::New(env);
  result.Set("isa", isa_name(cpu.isa));
  result.Set("detected", isa_name(cpu.detected));
  result.Set("cpu", cpu.brand);
  result.Set("threads", available_threads());
  result.Set("caches", caches);
  const Napi::Object kernels = Napi::Object::New(env);
  for (const auto& [family, kernel] : kernel_report()) kernels.Set(family, kernel);
  result.Set("kernels", kernels);
  result.Set("compiler", __VERSION__);
  if (!cpu.problem.empty()) result.Set("problem", cpu.problem);
  return result;
}

// operators() → { relu: { inputs: 'E', outputs: 'E', float64: false, storage?: { inputs: 'g', outputs: 'g' } }, … }
Napi::Value operators(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Napi::Object result = Napi::Object::New(env);
  for (const OpEntry& entry : registry()) {
    const Napi::Object row = Napi::Object::New(env);
    row.Set("inputs", entry.inputs);
    row.Set("outputs", entry.outputs);
    row.Set("float64", entry.takes_float64);
    if (const StorageEntry* storage = find_storage(entry.name)) {
      const Napi::Object letters = Napi::Object::New(env);
      letters.Set("inputs", storage->inputs);
      letters.Set("outputs", storage->outputs);
      row.Set("storage", letters);
    }
    result.Set(entry.name, row);
  }
  return result;
}

// createProgram(spec) → Program
Napi::Value create_program(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const CpuFeatures& cpu = cpu_features();
  if (!cpu.problem.empty()) throw make_error(env, "ERR_BACKEND", "native: " + cpu.problem);
  return env.GetInstanceData<Instance>()->program_class.New({info[0]});
}

int read_threads(const Napi::CallbackInfo& info, size_t index, const char* function) {
  const int64_t threads = read_whole(info[index], "threads", 1);
  if (threads <= Program::kMaxThreads) return int(threads);
  throw make_error(info.Env(), "ERR_OPTION", std::string(function) + ": too many threads");
}

// More would be a mistake, and nothing stops a measurement.
int64_t read_milliseconds(const Napi::CallbackInfo& info, size_t index, const char* function) {
  const int64_t milliseconds = read_whole(info[index], "milliseconds", 1);
  if (milliseconds <= 10000) return milliseconds;
  throw make_error(info.Env(), "ERR_OPTION", std::string(function) + ": more than 10000 milliseconds");
}

// measurePeak(type, threads, milliseconds) → GFLOP/s of multiply-adds of 'float32', or of pairs of 'bfloat16' or
// 'int16' (0 where there are none)
Napi::Value peak(const Napi::CallbackInfo& info) {
  const std::string type = read_text(info[0], "type");
  if (type != "float32" && type != "bfloat16" && type != "int16")
    throw make_error(info.Env(), "ERR_OPTION", "measurePeak: unknown type '" + type.substr(0, 64) + "'");
  const PeakKind kind = type == "float32"    ? PeakKind::kFloat32
                        : type == "bfloat16" ? PeakKind::kBf16
                                             : PeakKind::kInt16;
  const int threads = read_threads(info, 1, "measurePeak");
  const double seconds = double(read_milliseconds(info, 2, "measurePeak")) * 1e-3;
  return Napi::Number::New(info.Env(), measure_peak(kind, threads, seconds));
}

// measureBandwidth(bytes, threads, milliseconds) → GB/s over so many bytes, which all threads share
Napi::Value bandwidth(const Napi::CallbackInfo& info) {
  const int64_t bytes = read_whole(info[0], "bytes", 1);
  if (bytes > int64_t(1) << 30) throw make_error(info.Env(), "ERR_OPTION", "measureBandwidth: more than 1 GiB");
  const int threads = read_threads(info, 1, "measureBandwidth");
  const double seconds = double(read_milliseconds(info, 2, "measureBandwidth")) * 1e-3;
  return Napi::Number::New(info.Env(), measure_bandwidth(threads, size_t(bytes), seconds));
}

// plans() → { key: [[candidate, milliseconds], …], … }: what was measured or added, in the whole process
Napi::Value known_plans(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Napi::Object result = Napi::Object::New(env);
  for (const auto& [key, timings] : plans()) {
    const Napi::HandleScope scope(env);
    const Napi::Array rows = Napi::Array::New(env, timings.size());
    for (size_t i = 0; i < timings.size(); ++i) {
      const Napi::Array row = Napi::Array::New(env, 2);
      row.Set(0u, timings[i].candidate);
      row.Set(1u, timings[i].milliseconds);
      rows.Set(uint32_t(i), row);
    }
    result.Set(key, rows);
  }
  return result;
}

// addPlans(plans), of the form that plans() gives
Napi::Value more_plans(const Napi::CallbackInfo& info) {
  add_plans(read_plans(info[0]));
  return info.Env().Undefined();
}

// controlGroupLimits(membership, root) → { cpus, memory }, 0 for no limit: lets tests show the reader their own files
Napi::Value control_group_limits(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsString() || !info[1].IsString())
    throw make_error(env, "ERR_DATA", "controlGroupLimits: expected two strings");
  const std::string membership = info[0].As<Napi::String>(), root = info[1].As<Napi::String>();
  const Napi::Object result = Napi::Object::New(env);
  result.Set("cpus", cgroup_cpu_limit(membership, root));
  result.Set("memory", double(cgroup_memory_limit(membership, root)));
  return result;
}

// The getter itself, so that nothing a program does to ArrayBuffer.prototype later is called.
void find_resizable(Napi::Env env, Instance* instance) {
  const Napi::Object global = env.Global();
  const Napi::Object prototype = global.Get("ArrayBuffer").As<Napi::Object>().Get("prototype").As<Napi::Object>();
  const Napi::Function describe =
      global.Get("Object").As<Napi::Object>().Get("getOwnPropertyDescriptor").As<Napi::Function>();
  const Napi::Value found = describe.Call({prototype, Napi::String::New(env, "resizable")});
  if (!found.IsObject()) return;
  const Napi::Value getter = found.As<Napi::Object>().Get("get");
  if (getter.IsFunction()) instance->resizable = Napi::Persistent(getter.As<Napi::Function>());
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  Instance* instance = new Instance;
  env.SetInstanceData(instance);  // freed with the environment, after the hook
  instance->program_class = Napi::Persistent(ProgramObject::define(env));
  find_resizable(env, instance);
  struct Teardown {
    Napi::Env env;
    Instance* instance;
  };
  env.AddCleanupHook(
      [](Teardown* t) {
        t->instance->runner.shut_down(t->env);
        delete t;
      },
      new Teardown{env, instance});
  exports.Set("info", Napi::Function::New<info>(env, "info"));
  exports.Set("operators", Napi::Function::New<operators>(env, "operators"));
  exports.Set("createProgram", Napi::Function::New<create_program>(env, "createProgram"));
  exports.Set("plans", Napi::Function::New<known_plans>(env, "plans"));
  exports.Set("addPlans", Napi::Function::New<more_plans>(env, "addPlans"));
  exports.Set("controlGroupLimits", Napi::Function::New<control_group_limits>(env, "controlGroupLimits"));
  exports.Set("measurePeak", Napi::Function::New<peak>(env, "measurePeak"));
  exports.Set("measureBandwidth", Napi::Function::New<bandwidth>(env, "measureBandwidth"));
  return exports;
}

}  // namespace
}  // namespace fovea

static Napi::Object Init(Napi::Env env, Napi::Object exports) { return fovea::init(env, exports); }
NODE_API_MODULE(NODE_GYP_MODULE_NAME, Init)
