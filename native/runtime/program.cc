#include "runtime/program.h"

#include <algorithm>
#include <chrono>
#include <new>
#include <utility>

#include "kernels/layout/layout.h"
#include "ops/registry.h"
#include "runtime/denormals.h"
#include "runtime/thread_pool.h"
#include "runtime/workspaces.h"

namespace fovea {
namespace {

using Clock = std::chrono::steady_clock;

int64_t nanoseconds(Clock::duration time) { return std::chrono::duration_cast<std::chrono::nanoseconds>(time).count(); }

constexpr size_t kMaxRank = 8;
constexpr int64_t kMaxElements = int64_t(1) << 40;
constexpr uint64_t kNoStep = ~uint64_t(0);

Status invalid(Code code, const std::string& what) { return {code, "program: " + what}; }

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

// Every dimension positive, and the product, padding lanes included, far from overflow.
Status check_shape(const Operand& operand, const std::string& who) {
  const std::vector<int64_t>& shape = operand.shape;
  if (shape.size() > kMaxRank)
    return invalid(Code::kShape, who + " has " + std::to_string(shape.size()) + " axes, at most 8 are supported");
  if (operand.layout == Layout::kBlocked && shape.size() != 4) {
    return invalid(Code::kShape, who + " is blocked, which needs 4 axes: " + shape_text(shape));
  }
  int64_t elements = 1;
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    if (shape[axis] <= 0) return invalid(Code::kShape, who + " has an empty axis: " + shape_text(shape));
    if (shape[axis] > kMaxElements) return invalid(Code::kShape, who + " is too large: " + shape_text(shape));
    const int64_t stored = operand.layout == Layout::kBlocked && axis == 1 ? blocks(shape[axis]) * kBlock : shape[axis];
    if (elements > kMaxElements / stored) return invalid(Code::kShape, who + " is too large: " + shape_text(shape));
    elements *= stored;
  }
  return {};
}

// bfloat16 in memory is for the program's own values, where the precision allows it and the CPU has the kernels.
Status check_rounded(const ProgramSpec& spec, const ValueSpec& value, const std::string& who) {
  if (value.external >= 0 || value.operand.layout != Layout::kBlocked)
    return invalid(Code::kDtype, who + " is bfloat16, which only blocked values of the arena can be");
  if (spec.precision != Precision::kMedium)
    return invalid(Code::kDtype, who + " is bfloat16, which is for precision medium");
  if (!layout_bf16_kernels()) return invalid(Code::kBackend, who + " is bfloat16, which this CPU has no kernels for");
  return {};
}

// That steps name values that are there, or -1.
Status check_named(const ProgramSpec& spec) {
  for (size_t s = 0; s < spec.steps.size(); ++s) {
    for (const auto* named : {&spec.steps[s].inputs, &spec.steps[s].outputs}) {
      for (int64_t value : *named) {
        if (value >= -1 && value < int64_t(spec.values.size())) continue;
        return invalid(Code::kData,
                       "step " + std::to_string(s) + " (" + spec.steps[s].name + ") names a value that is not there");
      }
    }
  }
  return {};
}

char letter(const char* letters, size_t index) {
  const std::string word = letters;
  if (word.empty()) return 'P';
  return word[std::min(index, word.size() - 1)];
}

// The layouts that the registry promises to the operator. `group` is the layout of the first E operand seen in the
// step.
Status check_layouts(const std::vector<Operand>& operands, const char* letters, const char* kind,
                     const std::string& name, const Operand** group) {
  for (size_t i = 0; i < operands.size(); ++i) {
    if (!operands[i].present) continue;
    const Layout layout = operands[i].layout;
    bool good = true;
    switch (letter(letters, i)) {
      case 'P':
        good = layout == Layout::kPlain;
        break;
      case 'B':
        good = layout == Layout::kBlocked;
        break;
      case 'E':
        if (!*group) *group = &operands[i];
        good = layout == (*group)->layout;
        break;
      default:
        break;
    }
    if (!good) {
      return {Code::kShape, name + ": " + kind + " " + std::to_string(i) + " is " +
                                (layout == Layout::kPlain ? "plain" : "blocked") +
                                ", which the operator does not take there"};
    }
  }
  return {};
}

// Which of a step's operands are bfloat16, against the operator's row of storage.inc. `group` is the first 'g' operand.
Status check_storage(const std::vector<Operand>& operands, const char* letters, const char* kind,
                     const std::string& name, const Operand** group) {
  for (size_t i = 0; i < operands.size(); ++i) {
    if (!operands[i].present) continue;
    const bool rounded = operands[i].dtype == DType::kBfloat16;
    const char which = letters ? letter(letters, i) : '-';
    if (which == 'g' && !*group) *group = &operands[i];
    if (which == 'g' ? rounded == ((*group)->dtype == DType::kBfloat16) : !rounded || which == 'b') continue;
    return {Code::kDtype, name + ": " + kind + " " + std::to_string(i) + " is " + (rounded ? "bfloat16" : "float32") +
                              ", which the operator does not take there"};
  }
  return {};
}

}  // namespace

Status Program::make(const ProgramSpec& spec, std::unique_ptr<Program>* program) {
  const Status status = make_once(spec, program);
  if (status.code() != Code::kMemory || spec.steady.empty()) return status;
  ProgramSpec lean = spec;
  lean.steady.clear();
  return make_once(lean, program);
}

Status Program::make_once(const ProgramSpec& spec, std::unique_ptr<Program>* program) {
  try {
    std::unique_ptr<Program> made(new Program);
    if (spec.threads < 1 || spec.threads > kMaxThreads) {
      return invalid(Code::kOption,
                     "threads is " + std::to_string(spec.threads) + ", expected 1 to " + std::to_string(kMaxThreads));
    }
    made->threads_ = int(spec.threads);
    FOVEA_RETURN_IF_ERROR(made->check_values(spec));
    made->steps_.resize(spec.steps.size());
    FOVEA_RETURN_IF_ERROR(check_named(spec));
    made->keeping_.look_at(spec);
    for (size_t i = 0; i < spec.steps.size(); ++i) FOVEA_RETURN_IF_ERROR(made->make_step(spec, i));
    FOVEA_RETURN_IF_ERROR(made->take_memory(spec));
    made->bind(spec);
    made->find_first_update(spec);
    *program = std::move(made);
    return {};
  } catch (const std::bad_alloc&) {
    return invalid(Code::kMemory, "out of memory while planning");
  }
}

Status Program::check_values(const ProgramSpec& spec) {
  if (spec.externals < 0 || spec.externals > int64_t(spec.values.size())) {
    return invalid(Code::kData,
                   std::to_string(spec.externals) + " externals for " + std::to_string(spec.values.size()) + " values");
  }
  for (int64_t external : spec.steady) {
    if (external < 0 || external >= spec.externals) {
      return invalid(Code::kData,
                     "steady names external " + std::to_string(external) + " of " + std::to_string(spec.externals));
    }
  }
  externals_.resize(size_t(spec.externals));
  for (size_t i = 0; i < spec.values.size(); ++i) {
    const ValueSpec& value = spec.values[i];
    const std::string who = "value " + std::to_string(i);
    FOVEA_RETURN_IF_ERROR(check_shape(value.operand, who));
    if (value.operand.dtype == DType::kBfloat16) FOVEA_RETURN_IF_ERROR(check_rounded(spec, value, who));
    if (value.external < 0) {
      const uint64_t bytes = value.operand.bytes();
      if (value.offset % Arena::kAlignment != 0)
        return invalid(Code::kData, who + " starts at " + std::to_string(value.offset) + ", not a multiple of 64");
      if (bytes > spec.arena_bytes || value.offset > spec.arena_bytes - bytes) {
        return invalid(Code::kData, who + " ends at " + std::to_string(value.offset) + " + " + std::to_string(bytes) +
                                        ", the arena at " + std::to_string(spec.arena_bytes));
      }
      continue;
    }
    if (value.external >= spec.externals) {
      return invalid(Code::kData,
                     who + " is external " + std::to_string(value.external) + " of " + std::to_string(spec.externals));
    }
    External& external = externals_[size_t(value.external)];
    const External wanted{true, value.operand.dtype, size_t(value.operand.elements())};
    if (external.present && (external.dtype != wanted.dtype || external.elements != wanted.elements)) {
      return invalid(Code::kShape,
                     who + " and an earlier value read external " + std::to_string(value.external) + " differently");
    }
    external = wanted;
  }
  return {};
}

Status Program::make_step(const ProgramSpec& spec, size_t index) {
  const StepSpec& step = spec.steps[index];
  const OpEntry* entry = find_operator(step.name);
  if (!entry) return invalid(Code::kBackend, "the native backend has no operator '" + step.name.substr(0, 64) + "'");
  OpSpec op;
  op.name = step.name;
  op.attributes = step.attributes;
  op.threads = threads_;
  op.precision = spec.precision;
  op.measure = spec.measure;
  const auto resolve = [&](const std::vector<int64_t>& from, std::vector<Operand>* to) {
    for (int64_t value : from) {
      to->push_back(value < 0 ? Operand{} : spec.values[size_t(value)].operand);
      to->back().present = value >= 0;
    }
  };
  resolve(step.inputs, &op.inputs);
  resolve(step.outputs, &op.outputs);
  const std::vector<char>& steady = keeping_.steady_inputs(index);
  for (size_t i = 0; i < op.inputs.size(); ++i) op.inputs[i].steady = steady[i] != 0;
  const Operand* group = nullptr;
  FOVEA_RETURN_IF_ERROR(check_layouts(op.inputs, entry->inputs, "input", step.name, &group));
  FOVEA_RETURN_IF_ERROR(check_layouts(op.outputs, entry->outputs, "output", step.name, &group));
  const StorageEntry* storage = find_storage(step.name);
  const Operand* alike = nullptr;
  FOVEA_RETURN_IF_ERROR(check_storage(op.inputs, storage ? storage->inputs : nullptr, "input", step.name, &alike));
  FOVEA_RETURN_IF_ERROR(check_storage(op.outputs, storage ? storage->outputs : nullptr, "output", step.name, &alike));
  FOVEA_RETURN_IF_ERROR(entry->make(op, &steps_[index].operation));
  if (!steps_[index].operation) return invalid(Code::kBackend, step.name + " made no operation");
  names_.push_back(step.name);
  return {};
}

Status Program::take_memory(const ProgramSpec& spec) {
  std::vector<uint64_t> wanted;
  uint64_t most = spec.arena_bytes;
  for (const Step& step : steps_) {
    wanted.push_back(step.operation->workspace_bytes());
    most = std::max(most, wanted.back());
  }
  if (most > kNoStep / 4) return invalid(Code::kMemory, "the arena is too large");
  const Workspaces workspaces = place_workspaces(spec, wanted);
  for (size_t s = 0; s < steps_.size(); ++s) steps_[s].workspace = workspaces.offsets[s];
  memory_bytes_ = workspaces.arena_bytes;
  FOVEA_RETURN_IF_ERROR(arena_.allocate(memory_bytes_));
  std::vector<Kept> kept;
  for (const Step& step : steps_) kept.push_back(step.operation->kept());
  return keeping_.plan(spec, kept);
}

void Program::bind(const ProgramSpec& spec) {
  nanoseconds_.reset(new std::atomic<int64_t>[steps_.size()]());
  for (size_t s = 0; s < steps_.size(); ++s) {
    const StepSpec& from = spec.steps[s];
    Step& step = steps_[s];
    step.inputs.assign(from.inputs.size(), nullptr);
    step.outputs.assign(from.outputs.size(), nullptr);
    for (size_t i = 0; i < from.inputs.size() + from.outputs.size(); ++i) {
      const bool input = i < from.inputs.size();
      const size_t at = input ? i : i - from.inputs.size();
      const int64_t index = input ? from.inputs[at] : from.outputs[at];
      if (index < 0) continue;
      const ValueSpec& value = spec.values[size_t(index)];
      if (value.external >= 0) {
        Patch patch;
        patch.external = size_t(value.external);
        (input ? (void)(patch.input = &step.inputs[at]) : (void)(patch.output = &step.outputs[at]));
        patches_.push_back(patch);
      } else if (input) {
        step.inputs[at] = arena_.data() + value.offset;
      } else {
        step.outputs[at] = arena_.data() + value.offset;
      }
    }
  }
}

// The last steps of a training step write parameters, optimizer states and statistics back. Stopping among them would
// leave half of a step behind, so from the first of them on the run goes to its end: they are short.
void Program::find_first_update(const ProgramSpec& spec) {
  const auto external = [&](int64_t value) { return value < 0 ? -1 : spec.values[size_t(value)].external; };
  std::vector<char> read(externals_.size(), 0);
  for (const StepSpec& step : spec.steps) {
    for (int64_t value : step.inputs) {
      if (external(value) >= 0) read[size_t(external(value))] = 1;
    }
  }
  first_update_ = spec.steps.size();
  for (size_t s = spec.steps.size(); s-- > 0;) {
    bool writes_external = false;
    for (int64_t value : spec.steps[s].outputs) {
      if (external(value) < 0) continue;
      writes_external = true;
      if (read[size_t(external(value))]) first_update_ = s;
    }
    if (!writes_external) return;
  }
}

Status Program::run(void* const* data, uint64_t counter, ThreadPool& pool, const std::atomic<bool>& cancelled) {
  const FlushDenormals flush;
  for (const Patch& patch : patches_) {
    if (patch.input) *patch.input = data[patch.external];
    if (patch.output) *patch.output = data[patch.external];
  }
  if (!keeping_.any()) return run_steps(false, counter, pool, cancelled);
  const Clock::time_point start = Clock::now();
  const bool holds = keeping_.holds(data, pool);
  look_nanoseconds_.store(keeping_.looks() ? nanoseconds(Clock::now() - start) : 0, std::memory_order_relaxed);
  if (holds) {
    const Status status = run_steps(true, counter, pool, cancelled);
    keeping_.used(status.code() != Code::kStale);
    if (status.code() != Code::kStale) return status;
  }
  FOVEA_RETURN_IF_ERROR(run_steps(false, counter, pool, cancelled));
  keeping_.made(data, pool);
  return {};
}

// `holds`: what is kept need not be made.
Status Program::run_steps(bool holds, uint64_t counter, ThreadPool& pool, const std::atomic<bool>& cancelled) {
  for (size_t s = 0; s < steps_.size(); ++s) nanoseconds_[s].store(0, std::memory_order_relaxed);
  Clock::time_point before = Clock::now();
  const std::atomic<bool> never{false};
  for (size_t s = 0; s < steps_.size(); ++s) {
    const std::atomic<bool>& stop = s < first_update_ ? cancelled : never;
    if ((s == first_update_ ? cancelled : stop).load(std::memory_order_relaxed))
      return invalid(Code::kAborted, "cancelled before step " + std::to_string(s) + " (" + names_[s] + ")");
    if (holds && keeping_.left_out(s)) continue;
    const Step& step = steps_[s];
    RunContext context{step.inputs.data(), step.outputs.data(), arena_.data() + step.workspace, pool, stop, counter};
    context.kept = keeping_.at(s);
    context.holds = holds && context.kept;
    try {
      FOVEA_RETURN_IF_ERROR(step.operation->run(context));
    } catch (const std::bad_alloc&) {
      return {Code::kMemory, names_[s] + ": out of memory"};
    }
    const Clock::time_point now = Clock::now();
    nanoseconds_[s].store(nanoseconds(now - before), std::memory_order_relaxed);
    before = now;
  }
  return {};
}

double Program::look_milliseconds() const { return double(look_nanoseconds_.load(std::memory_order_relaxed)) * 1e-6; }

std::vector<double> Program::profile() const {
  std::vector<double> milliseconds(steps_.size());
  for (size_t s = 0; s < steps_.size(); ++s)
    milliseconds[s] = double(nanoseconds_[s].load(std::memory_order_relaxed)) * 1e-6;
  return milliseconds;
}

std::vector<std::vector<std::vector<double>>> Program::loops() const {
  std::vector<std::vector<std::vector<double>>> all;
  for (const Step& step : steps_) all.push_back(step.operation->loops());
  return all;
}

std::vector<std::string> Program::describe() const {
  std::vector<std::string> lines;
  for (size_t s = 0; s < steps_.size(); ++s) {
    const std::string more = steps_[s].operation->describe();
    lines.push_back(more.empty() ? names_[s] : names_[s] + ": " + more);
  }
  return lines;
}

}  // namespace fovea
