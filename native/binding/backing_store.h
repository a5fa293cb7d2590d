// Keeps the memory behind an ArrayBuffer alive while our threads use it, even if JavaScript transfers the buffer away.
#pragma once
#include <memory>

#include "binding/napi.h"

namespace fovea {

// Node-API can hold the ArrayBuffer object but not its memory: after structuredClone(x, { transfer }) the memory
// belongs to the clone and goes with it. V8 can share the memory, and Node exports that function; it is looked up by
// name, in the versions of Node where its signature is known, so that the addon still loads anywhere. Null elsewhere:
// then a transfer during a run whose new owner is collected before the run ends is the one way to pull memory from
// under it.
std::shared_ptr<void> hold_backing_store(Napi::Env env, napi_value array_buffer);

}  // namespace fovea
