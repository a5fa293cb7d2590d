// Keeps the memory behind an ArrayBuffer alive while our threads use it, even if JavaScript transfers the buffer away.
#pragma once
#include <memory>

#include "binding/napi.h"

namespace fovea {

// Node-API can hold the ArrayBuffer object but not its memory: after structuredClone(x, { transfer }) the memory
// belongs to the clone and goes with it. V8 can share the memory, and Node exports that function; it is looked up by
// name, in the versions of Node where its signature is known, so that the addon still loads anywhere. Null elsewhere.
//
// What remains: without V8's help, a transfer during a run whose new owner is collected before the run ends; and in
// Node 21 to 23, buffer.transfer(otherLength) during a run, which resizes memory in place although it is shared. A
// detach key would refuse that, but Node aborts the process when it meets one in structuredClone.
std::shared_ptr<void> hold_backing_store(Napi::Env env, napi_value array_buffer);

}  // namespace fovea
