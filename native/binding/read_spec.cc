#include "binding/read_spec.h"

#include <cmath>

namespace fovea {
namespace {

// More than any network has: a sparse array of 2^32 must not keep us busy.
constexpr uint32_t kMaxItems = 1u << 20;

[[noreturn]] void refuse(Napi::Env env, const std::string& what, const char* expected) {
  throw make_error(env, "ERR_DATA", "program: " + what + ": expected " + expected);
}

Napi::Object read_object(const Napi::Value& value, const std::string& what) {
  if (!value.IsObject() || value.IsFunction()) refuse(value.Env(), what, "an object");
  return value.As<Napi::Object>();
}

Napi::Array read_array(const Napi::Value& value, const std::string& what) {
  if (!value.IsArray()) refuse(value.Env(), what, "an array");
  const Napi::Array array = value.As<Napi::Array>();
  if (array.Length() > kMaxItems) refuse(value.Env(), what, "at most 1048576 items");
  return array;
}

std::vector<int64_t> read_wholes(const Napi::Value& value, const std::string& what, int64_t least) {
  const Napi::Array array = read_array(value, what);
  std::vector<int64_t> numbers;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::HandleScope scope(value.Env());
    numbers.push_back(read_whole(array.Get(i), what, least));
  }
  return numbers;
}

DType read_dtype(const Napi::Value& value, const std::string& what) {
  const std::string name = read_text(value, what);
  if (name == "float32") return DType::kFloat32;
  if (name == "float64") return DType::kFloat64;
  if (name == "int32") return DType::kInt32;
  if (name == "uint8") return DType::kUint8;
  throw make_error(
      value.Env(), "ERR_DTYPE",
      "program: " + what + ": expected float32, float64, int32 or uint8, got '" + name.substr(0, 64) + "'");
}

// 'blocked bf16' are float32 values that lie rounded in memory, which the core has as a type of their own.
void read_layout(const Napi::Value& value, const std::string& what, Operand* operand) {
  if (value.IsUndefined()) return;
  const std::string name = read_text(value, what);
  if (name == "plain") return;
  operand->layout = Layout::kBlocked;
  if (name == "blocked") return;
  if (name != "blocked bf16") refuse(value.Env(), what, "plain, blocked or blocked bf16");
  if (operand->dtype != DType::kFloat32) refuse(value.Env(), what, "plain or blocked for this type");
  operand->dtype = DType::kBfloat16;
}

Precision read_precision(const Napi::Value& value, const std::string& what) {
  if (value.IsUndefined()) return Precision::kHighest;
  const std::string name = read_text(value, what);
  if (name == "highest") return Precision::kHighest;
  if (name == "high") return Precision::kHigh;
  if (name == "medium") return Precision::kMedium;
  refuse(value.Env(), what, "highest, high or medium");
}

bool read_flag(const Napi::Value& value, const std::string& what) {
  if (value.IsUndefined()) return false;
  if (!value.IsBoolean()) refuse(value.Env(), what, "a boolean");
  return value.As<Napi::Boolean>().Value();
}

ValueSpec read_value(const Napi::Value& item, const std::string& what) {
  const Napi::Object object = read_object(item, what);
  ValueSpec value;
  value.operand.present = true;
  value.operand.shape = read_wholes(object.Get("shape"), what + ".shape", -1);
  value.operand.dtype = read_dtype(object.Get("dtype"), what + ".dtype");
  read_layout(object.Get("layout"), what + ".layout", &value.operand);
  const Napi::Value external = object.Get("external");
  if (external.IsUndefined()) {
    value.offset = uint64_t(read_whole(object.Get("offset"), what + ".offset", 0));
  } else {
    value.external = read_whole(external, what + ".external", 0);
  }
  return value;
}

void read_attribute(const std::string& name, const Napi::Value& value, const std::string& what,
                    Attributes* attributes) {
  if (value.IsNumber()) {
    attributes->set(name, std::vector<double>{value.As<Napi::Number>().DoubleValue()});
  } else if (value.IsBoolean()) {
    attributes->set(name, std::vector<double>{value.As<Napi::Boolean>().Value() ? 1.0 : 0.0});
  } else if (value.IsString()) {
    attributes->set(name, value.As<Napi::String>().Utf8Value());
  } else if (value.IsArray()) {
    const Napi::Array array = read_array(value, what);
    std::vector<double> numbers;
    for (uint32_t i = 0; i < array.Length(); ++i) {
      const Napi::HandleScope scope(value.Env());
      const Napi::Value number = array.Get(i);
      if (!number.IsNumber()) refuse(value.Env(), what, "numbers only");
      numbers.push_back(number.As<Napi::Number>().DoubleValue());
    }
    attributes->set(name, std::move(numbers));
  } else if (!value.IsUndefined()) {
    refuse(value.Env(), what, "a number, a string, a boolean or an array of numbers");
  }
}

StepSpec read_step(const Napi::Value& item, const std::string& what) {
  const Napi::Object object = read_object(item, what);
  StepSpec step;
  step.name = read_text(object.Get("operator"), what + ".operator");
  step.inputs = read_wholes(object.Get("inputs"), what + ".inputs", -1);
  step.outputs = read_wholes(object.Get("outputs"), what + ".outputs", -1);
  const Napi::Object attributes = read_object(object.Get("attributes"), what + ".attributes");
  const Napi::Array names = attributes.GetPropertyNames();
  for (uint32_t i = 0; i < names.Length(); ++i) {
    const std::string name = read_text(names.Get(i), what + ".attributes");
    read_attribute(name, attributes.Get(name), what + "." + name, &step.attributes);
  }
  return step;
}

}  // namespace

Plans read_plans(const Napi::Value& value) {
  const Napi::Env env = value.Env();
  const Napi::Object object = read_object(value, "plans");
  const Napi::Array keys = object.GetPropertyNames();
  if (keys.Length() > kMaxItems) refuse(env, "plans", "at most 1048576 items");
  Plans plans;
  for (uint32_t i = 0; i < keys.Length(); ++i) {
    const Napi::HandleScope scope(env);
    const std::string key = read_text(keys.Get(i), "plans");
    const Napi::Array rows = read_array(object.Get(key), "plans");
    for (uint32_t j = 0; j < rows.Length(); ++j) {
      const Napi::Array row = read_array(rows.Get(j), "plans");
      const Napi::Value milliseconds = row.Get(1u);
      if (!milliseconds.IsNumber()) refuse(env, "plans", "[candidate, milliseconds]");
      plans[key].push_back({read_text(row.Get(0u), "plans"), milliseconds.As<Napi::Number>().DoubleValue()});
    }
  }
  return plans;
}

std::string read_text(const Napi::Value& value, const std::string& what) {
  if (!value.IsString()) refuse(value.Env(), what, "a string");
  return value.As<Napi::String>().Utf8Value();
}

int64_t read_whole(const Napi::Value& value, const std::string& what, int64_t least) {
  if (value.IsNumber()) {
    const double number = value.As<Napi::Number>().DoubleValue();
    if (number >= double(least) && number <= 9007199254740992.0 && std::trunc(number) == number) return int64_t(number);
  }
  refuse(value.Env(), what, least < 0 ? "a whole number" : "a whole number that is not negative");
}

ProgramSpec read_spec(Napi::Env env, const Napi::Value& value) {
  const Napi::Object object = read_object(value, "spec");
  ProgramSpec spec;
  const Napi::Array values = read_array(object.Get("values"), "values");
  for (uint32_t i = 0; i < values.Length(); ++i) {
    const Napi::HandleScope scope(env);
    spec.values.push_back(read_value(values.Get(i), "values[" + std::to_string(i) + "]"));
  }
  const Napi::Array steps = read_array(object.Get("steps"), "steps");
  for (uint32_t i = 0; i < steps.Length(); ++i) {
    const Napi::HandleScope scope(env);
    spec.steps.push_back(read_step(steps.Get(i), "steps[" + std::to_string(i) + "]"));
  }
  spec.externals = read_whole(object.Get("externals"), "externals", 0);
  spec.arena_bytes = uint64_t(read_whole(object.Get("arenaBytes"), "arenaBytes", 0));
  spec.threads = read_whole(object.Get("threads"), "threads", 1);
  spec.precision = read_precision(object.Get("precision"), "precision");
  spec.measure = read_flag(object.Get("measure"), "measure");
  const Napi::Value steady = object.Get("steady");
  if (!steady.IsUndefined()) spec.steady = read_wholes(steady, "steady", 0);
  spec.frozen = read_flag(object.Get("frozen"), "frozen");
  return spec;
}

}  // namespace fovea
