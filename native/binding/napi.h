// node-addon-api as this folder uses it, and how failures leave it: an Error with `code`, never a crash.
#pragma once
// In a worker that is being terminated nothing can be thrown any more; without this the library aborts the process.
#define NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS
#include <napi.h>

#include <string>

#include "runtime/status.h"

namespace fovea {

const char* code_name(Code code);  // "ERR_SHAPE" …

Napi::Error make_error(Napi::Env env, const char* code, const std::string& message);
inline Napi::Error make_error(Napi::Env env, const Status& status) {
  return make_error(env, code_name(status.code()), status.message());
}

}  // namespace fovea
