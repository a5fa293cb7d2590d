#include "binding/program_object.h"

#include <algorithm>
#include <new>

#include "binding/backing_store.h"
#include "binding/read_spec.h"

namespace fovea {
namespace {

const char* dtype_name(DType dtype) {
  constexpr const char* kNames[] = {"float32", "float64", "int32", "uint8", "bfloat16"};
  return kNames[static_cast<int>(dtype)];
}

bool same_type(DType dtype, napi_typedarray_type type) {
  switch (dtype) {
    case DType::kFloat32:
      return type == napi_float32_array;
    case DType::kFloat64:
      return type == napi_float64_array;
    case DType::kInt32:
      return type == napi_int32_array;
    case DType::kUint8:
      return type == napi_uint8_array;
    case DType::kBfloat16:
      return false;  // never a caller's
  }
  return false;
}

struct Arrays {
  std::vector<napi_value> values, buffers;  // buffers are null where nothing is bound
  std::vector<void*> data;
};

[[noreturn]] void refuse(Napi::Env env, const char* code, size_t index, const std::string& what) {
  throw make_error(env, code, "program: array " + std::to_string(index) + " " + what);
}

// Type and length of one array, exactly; its address.
void check_array(Napi::Env env, const Program::External& wanted, size_t i, Arrays* arrays) {
  const std::string expected = std::string(dtype_name(wanted.dtype)) + " array of " + std::to_string(wanted.elements);
  bool typed = false;
  if (napi_is_typedarray(env, arrays->values[i], &typed) != napi_ok || !typed)
    refuse(env, "ERR_DTYPE", i, "is not a typed array, expected a " + expected);
  napi_typedarray_type type;
  size_t length = 0, offset = 0;
  if (napi_get_typedarray_info(env, arrays->values[i], &type, &length, &arrays->data[i], &arrays->buffers[i],
                               &offset) != napi_ok ||
      !same_type(wanted.dtype, type)) {
    refuse(env, "ERR_DTYPE", i, "has another element type, expected a " + expected);
  }
  if (length == wanted.elements && arrays->data[i]) return;
  bool detached = false;
  napi_is_detached_arraybuffer(env, arrays->buffers[i], &detached);
  if (detached) refuse(env, "ERR_DATA", i, "is detached: its buffer was transferred away");
  refuse(env, "ERR_DATA", i, "has " + std::to_string(length) + " elements, expected a " + expected);
}

// The items of the list. Taking them may run getters, so no address is looked at before all are here.
std::vector<napi_value> read_list(Napi::Env env, const Napi::Value& value, size_t count) {
  if (!value.IsArray()) throw make_error(env, "ERR_DATA", "program: expected an array of typed arrays");
  const Napi::Array list = value.As<Napi::Array>();
  if (list.Length() != count) {
    throw make_error(env, "ERR_DATA",
                     "program: expected " + std::to_string(count) + " arrays, got " + std::to_string(list.Length()));
  }
  std::vector<napi_value> items(count);
  for (size_t i = 0; i < count; ++i) items[i] = list.Get(uint32_t(i));
  return items;
}

// Runs no JavaScript: what was checked stays so until JavaScript runs again.
Arrays check_arrays(Napi::Env env, std::vector<napi_value> items, const Program& program) {
  const auto& wanted = program.externals();
  Arrays arrays;
  arrays.values = std::move(items);
  arrays.buffers.resize(wanted.size());
  arrays.data.resize(wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i].present) check_array(env, wanted[i], i, &arrays);
  }
  return arrays;
}

// A list that nobody else can change, to keep the arrays from being collected.
Napi::Array copy_list(Napi::Env env, const std::vector<napi_value>& items) {
  const Napi::Array copy = Napi::Array::New(env, items.size());
  for (size_t i = 0; i < items.size(); ++i) copy.Set(uint32_t(i), items[i]);
  return copy;
}

// Memory that can shrink under a run is refused; memory that can be transferred away is held.
void hold_buffers(Napi::Env env, const Arrays& arrays, Job* job) {
  const Instance& instance = *env.GetInstanceData<Instance>();
  for (size_t i = 0; i < arrays.buffers.size(); ++i) {
    const napi_value buffer = arrays.buffers[i];
    bool transferable = false;  // a SharedArrayBuffer is not: it neither detaches nor shrinks
    if (!buffer || napi_is_arraybuffer(env, buffer, &transferable) != napi_ok || !transferable) continue;
    if (!instance.resizable.IsEmpty()) {
      const Napi::Value resizable = instance.resizable.Call(buffer, std::vector<napi_value>{});
      if (resizable.IsBoolean() && resizable.As<Napi::Boolean>().Value()) {
        refuse(env, "ERR_DATA", i, "lies in a resizable ArrayBuffer, which may shrink during the run");
      }
    }
    std::shared_ptr<void> store = hold_backing_store(env, buffer);
    if (store) job->stores.push_back(std::move(store));
  }
}

uint64_t read_counter(const Napi::Value& value) {
  return value.IsUndefined() ? 0 : uint64_t(read_whole(value, "counter", 0));
}

// No C++ exception but Napi::Error may reach Node.
template <class Body>
Napi::Value guarded(Napi::Env env, const Body& body) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    throw make_error(env, "ERR_MEMORY", "program: out of memory");
  }
}

}  // namespace

Napi::Function ProgramObject::define(Napi::Env env) {
  return DefineClass(
      env, "Program",
      {InstanceMethod<&ProgramObject::run_sync>("runSync"), InstanceMethod<&ProgramObject::run>("run"),
       InstanceMethod<&ProgramObject::cancel>("cancel"), InstanceMethod<&ProgramObject::profile>("profile"),
       InstanceMethod<&ProgramObject::describe>("describe"), InstanceMethod<&ProgramObject::loops>("loops"),
       InstanceMethod<&ProgramObject::kept>("kept"), InstanceMethod<&ProgramObject::dispose>("dispose"),
       InstanceAccessor<&ProgramObject::arena_bytes>("arenaBytes")});
}

ProgramObject::ProgramObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ProgramObject>(info) {
  const Napi::Env env = info.Env();
  guarded(env, [&] {
    const ProgramSpec spec = read_spec(env, info[0]);
    auto compiled = std::make_shared<Compiled>();
    const Status status = Program::make(spec, &compiled->program);
    if (!status.ok()) throw make_error(env, status);
    compiled_ = std::move(compiled);
    // So that forgotten programs are collected before memory runs out: to V8 this object is a few bytes.
    Napi::MemoryManagement::AdjustExternalMemory(env, int64_t(compiled_->program->memory_bytes()));
    return env.Undefined();
  });
}

void ProgramObject::drop(Napi::BasicEnv env) {
  if (!compiled_) return;
  Napi::MemoryManagement::AdjustExternalMemory(env, -int64_t(compiled_->program->memory_bytes()));
  compiled_.reset();
}

Compiled& ProgramObject::ready(Napi::Env env) {
  if (!compiled_) throw make_error(env, "ERR_DISPOSED", "program: used after dispose()");
  return *compiled_;
}

Compiled& ProgramObject::ready_idle(Napi::Env env) {
  Compiled& compiled = ready(env);
  if (compiled.running)
    throw make_error(env, "ERR_BUSY", "program: is running; await that run, or compile a second program");
  return compiled;
}

Napi::Value ProgramObject::run_sync(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&] {
    ready_idle(env);
    const std::shared_ptr<Compiled> compiled = compiled_;  // a getter in the list may dispose of us
    const uint64_t counter = read_counter(info[1]);
    std::vector<napi_value> items = read_list(env, info[0], compiled->program->externals().size());
    ready_idle(env);  // or start a run
    const Arrays arrays = check_arrays(env, std::move(items), *compiled->program);
    const Status status = env.GetInstanceData<Instance>()->runner.run_now(*compiled, arrays.data.data(), counter);
    if (!status.ok()) throw make_error(env, status);
    return env.Undefined();
  });
}

Napi::Value ProgramObject::run(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    ready_idle(env);
    std::unique_ptr<Job> job(new Job);
    job->compiled = compiled_;
    job->counter = read_counter(info[1]);
    std::vector<napi_value> items = read_list(env, info[0], job->compiled->program->externals().size());
    const Napi::Array held = copy_list(env, items);
    ready_idle(env);  // a getter may have disposed of us or started a run
    Arrays arrays = check_arrays(env, std::move(items), *job->compiled->program);
    hold_buffers(env, arrays, job.get());
    napi_value promise;
    if (napi_create_reference(env, held, 1, &job->arrays) != napi_ok ||
        napi_create_promise(env, &job->deferred, &promise) != napi_ok) {
      throw make_error(env, "ERR_MEMORY", "program: out of memory");
    }
    job->data = std::move(arrays.data);
    const Status status = env.GetInstanceData<Instance>()->runner.submit(env, &job);
    if (!status.ok()) {
      napi_delete_reference(env, job->arrays);
      napi_reject_deferred(env, job->deferred, make_error(env, status).Value());
    }
    return Napi::Value(env, promise);
  });
}

Napi::Value ProgramObject::cancel(const Napi::CallbackInfo& info) {
  if (compiled_ && compiled_->running) compiled_->cancelled.store(true);
  return info.Env().Undefined();
}

Napi::Value ProgramObject::profile(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&] {
    const std::vector<double> milliseconds = ready(env).program->profile();
    const Napi::Array result = Napi::Array::New(env, milliseconds.size());
    for (size_t i = 0; i < milliseconds.size(); ++i) result.Set(uint32_t(i), Napi::Number::New(env, milliseconds[i]));
    return result;
  });
}

Napi::Value ProgramObject::describe(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&] {
    const std::vector<std::string> lines = ready(env).program->describe();
    const Napi::Array result = Napi::Array::New(env, lines.size());
    for (size_t i = 0; i < lines.size(); ++i) result.Set(uint32_t(i), Napi::String::New(env, lines[i]));
    return result;
  });
}

Napi::Value ProgramObject::loops(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&] {
    const Napi::Array result = Napi::Array::New(env);
    for (const auto& step : ready(env).program->loops()) {
      const Napi::Array loops = Napi::Array::New(env);
      for (const std::vector<double>& loop : step) {
        Napi::Float64Array costs = Napi::Float64Array::New(env, loop.size());
        std::copy(loop.begin(), loop.end(), costs.Data());
        loops.Set(loops.Length(), costs);
      }
      result.Set(result.Length(), loops);
    }
    return result;
  });
}

Napi::Value ProgramObject::kept(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&] {
    const Program& program = *ready(env).program;
    const Napi::Object result = Napi::Object::New(env);
    result.Set("bytes", Napi::Number::New(env, double(program.kept_bytes())));
    result.Set("milliseconds", Napi::Number::New(env, program.look_milliseconds()));
    return result;
  });
}

Napi::Value ProgramObject::dispose(const Napi::CallbackInfo& info) {
  cancel(info);
  drop(info.Env());
  return info.Env().Undefined();
}

Napi::Value ProgramObject::arena_bytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), compiled_ ? double(compiled_->program->memory_bytes()) : 0);
}

}  // namespace fovea
