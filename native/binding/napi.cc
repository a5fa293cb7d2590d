#include "binding/napi.h"

namespace fovea {

const char* code_name(Code code) {
  switch (code) {
    case Code::kShape:
      return "ERR_SHAPE";
    case Code::kOption:
      return "ERR_OPTION";
    case Code::kDtype:
      return "ERR_DTYPE";
    case Code::kData:
      return "ERR_DATA";
    case Code::kAborted:
      return "ERR_ABORTED";
    case Code::kMemory:
      return "ERR_MEMORY";
    case Code::kOk:
    case Code::kStale:
    case Code::kBackend:
      break;
  }
  return "ERR_BACKEND";
}

Napi::Error make_error(Napi::Env env, const char* code, const std::string& message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  return error;
}

}  // namespace fovea
