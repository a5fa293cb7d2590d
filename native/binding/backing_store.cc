#include "binding/backing_store.h"

#if defined(__linux__) || defined(__APPLE__)
#include <dlfcn.h>
#endif

namespace fovea {
namespace {

// std::shared_ptr<v8::BackingStore> v8::ArrayBuffer::GetBackingStore(). A member function takes `this` like a first
// argument in the C++ ABI of Linux and macOS, and a napi_value is what V8's handles are: the address of a slot.
using GetBackingStore = std::shared_ptr<void> (*)(napi_value self);

GetBackingStore find_get_backing_store(Napi::Env env) {
#if defined(__linux__) || defined(__APPLE__)
  constexpr uint32_t kFirstKnown = 20, kLastKnown = 24;
  const napi_node_version* version = nullptr;
  if (napi_get_node_version(env, &version) != napi_ok) return nullptr;
  if (version->major < kFirstKnown || version->major > kLastKnown) return nullptr;
  return reinterpret_cast<GetBackingStore>(dlsym(RTLD_DEFAULT, "_ZN2v811ArrayBuffer15GetBackingStoreEv"));
#else
  (void)env;
  return nullptr;
#endif
}

}  // namespace

std::shared_ptr<void> hold_backing_store(Napi::Env env, napi_value array_buffer) {
  static const GetBackingStore get = find_get_backing_store(env);
  return get ? get(array_buffer) : nullptr;
}

}  // namespace fovea
