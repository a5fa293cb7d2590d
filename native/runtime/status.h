// How the core reports failure: a value, never an exception or a print. The binding turns it into a typed JavaScript
// error.
#pragma once
#include <string>
#include <utility>

namespace fovea {

// kStale stays within the core: see Operation::run.
enum class Code { kOk, kShape, kOption, kDtype, kData, kAborted, kMemory, kBackend, kStale };

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, std::string message) : code_(code), message_(std::move(message)) {}
  bool ok() const { return code_ == Code::kOk; }
  Code code() const { return code_; }
  const std::string& message() const { return message_; }

 private:
  Code code_ = Code::kOk;
  std::string message_;
};

// Returns from the enclosing function when `expression` is a Status that is not ok.
#define FOVEA_RETURN_IF_ERROR(expression)   \
  do {                                      \
    ::fovea::Status status_ = (expression); \
    if (!status_.ok()) return status_;      \
  } while (false)

}  // namespace fovea
