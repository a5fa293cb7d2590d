// A ProgramSpec of lib/backend/backend.ts as the core has it.
#pragma once
#include "binding/napi.h"
#include "ops/plan.h"
#include "runtime/program.h"

namespace fovea {

// Throws Napi::Error ERR_DATA or ERR_DTYPE naming the field that is not of its type. Whether the numbers make sense
// together is for Program::make to say.
ProgramSpec read_spec(Napi::Env env, const Napi::Value& value);

// Throws ERR_DATA.
Plans read_plans(const Napi::Value& value);

// Both throw ERR_DATA naming `what`: text, and a whole number of at least `least`, no larger than 2^53.
std::string read_text(const Napi::Value& value, const std::string& what);
int64_t read_whole(const Napi::Value& value, const std::string& what, int64_t least);

}  // namespace fovea
