#include "ops/plan.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <mutex>

#include "cpu/features.h"
#include "kernels/layout/layout.h"
#include "runtime/arena.h"
#include "runtime/thread_pool.h"

namespace fovea {

namespace {

// Below both, the candidates differ by microseconds, and noise would choose. Bytes are those of the operands: of sums
// of one or two channels they take the time, and differ by how often a candidate reads them.
constexpr double kLeastFlops = 2e7, kLeastBytes = 4e6;
constexpr double kMostBytes = 2e9;  // of operands to measure on
constexpr double kBudget = 20;      // milliseconds for each candidate
constexpr int kRounds = 6;
constexpr int kBlockingRounds = 3;  // after those, of other blockings of the fastest
// A candidate so many times slower than the best so far is given up, once it has had its chance: the first runs wait
// for pages, code and parked threads (of 0.2 ms the first took 4, the second 0.5), and whoever shares the cores can
// take a slice of 3 ms from each of three in a row.
constexpr double kHopeless = 1.8, kChance = 10;  // times, milliseconds
constexpr double kHopelessCold = 8;              // times the best so far, in a first run beyond its chance
constexpr double kMargin = 0.97;  // a candidate must be this much faster to be preferred to the model's choice
constexpr size_t kMostPlans = 10000;

struct Memory {
  std::mutex mutex;
  Plans plans;
};

// Never destroyed: a thread may still compile while the process ends.
Memory& memory() {
  static Memory& known = *new Memory;
  return known;
}

using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// Operands to measure on: numbers of ordinary size, in memory that has been touched.
class Operands {
 public:
  Status allocate(const OpSpec& spec) {
    size_t bytes = 0;
    const auto place = [&](const std::vector<Operand>& operands, std::vector<size_t>* offsets) {
      for (const Operand& operand : operands) {
        offsets->push_back(bytes);
        bytes += (operand.present ? operand.bytes() : 0) + Arena::kAlignment;
        bytes -= bytes % Arena::kAlignment;
      }
    };
    std::vector<size_t> inputs, outputs;
    place(spec.inputs, &inputs);
    const size_t filled = bytes;
    place(spec.outputs, &outputs);
    FOVEA_RETURN_IF_ERROR(arena_.allocate(bytes));
    for (size_t i = 0; i < inputs.size(); ++i)
      if (spec.inputs[i].present) fill(arena_.data() + inputs[i], spec.inputs[i]);
    std::memset(arena_.data() + filled, 0, bytes - filled);
    for (size_t i = 0; i < inputs.size(); ++i)
      inputs_.push_back(spec.inputs[i].present ? arena_.data() + inputs[i] : nullptr);
    for (size_t i = 0; i < outputs.size(); ++i)
      outputs_.push_back(spec.outputs[i].present ? arena_.data() + outputs[i] : nullptr);
    return {};
  }
  const void* const* inputs() const { return inputs_.data(); }
  void* const* outputs() const { return outputs_.data(); }

 private:
  // Numbers between -1 and 1, again and again.
  static void fill(std::byte* data, const Operand& operand) {
    std::vector<float> numbers(4099);
    uint32_t state = 1;
    for (float& x : numbers) {
      state = state * 1664525u + 1013904223u;
      x = static_cast<float>(static_cast<int32_t>(state)) * 0x1p-31f;
    }
    size_t period = numbers.size() * sizeof(float);
    if (operand.dtype == DType::kBfloat16) {  // in place: the halves never overtake the floats
      period /= 2;
      layout_bf16_kernels()->round(numbers.data(), static_cast<ptrdiff_t>(numbers.size()),
                                   reinterpret_cast<Bfloat16*>(numbers.data()));
    }
    for (size_t at = 0; at < operand.bytes(); at += period)
      std::memcpy(data + at, numbers.data(), std::min(period, operand.bytes() - at));
  }

  Arena arena_;
  std::vector<const void*> inputs_;
  std::vector<void*> outputs_;
};

// Puts bytes out of the caches, where the CPU can; what was written there comes to memory.
void leave_caches(const std::byte* data, size_t bytes) {
#if defined(__SSE2__)
  for (size_t at = 0; at < bytes; at += 64) __builtin_ia32_clflush(data + at);
  __builtin_ia32_mfence();
#else
  static_cast<void>(data), static_cast<void>(bytes);
#endif
}

// A candidate on the way through the rounds. What it keeps of weights, if a core's own cache does not hold it, comes
// from memory each time: in a network, layers between one run and the next have their own. A transformed filter can
// have nine times the bytes of a packed one.
struct Runner {
  std::string name;
  std::unique_ptr<Operation> operation;
  std::unique_ptr<Arena> workspace, kept;
  double best = 0, spent = 0;

  bool run(const Operands& operands, ThreadPool& pool) {
    static const std::atomic<bool> never{false};
    std::atomic<bool> not_finite{false};
    RunContext context{operands.inputs(), operands.outputs(), workspace->data(), pool, never, 0, &not_finite};
    context.kept = kept->data();
    context.holds = kept->data() && spent > 0;
    if (context.holds && operation->kept().bytes > cpu_features().l2_bytes)
      leave_caches(kept->data(), operation->kept().bytes);
    const Clock::time_point start = Clock::now();
    const bool ok = operation->run(context).ok();
    const double now = milliseconds_since(start);
    best = best == 0 ? now : std::min(best, now);
    spent += now;
    return ok;
  }
};

// Candidates on the way through the rounds. They take turns, so that what disturbs the machine disturbs them all; each
// is judged by its best run.
class Race {
 public:
  explicit Race(int threads) : pool_(threads) {}
  Status prepare(const OpSpec& spec) { return operands_.allocate(spec); }

  // Runs it twice, cold and warm. One that does what another does already stays out.
  void enter(const Candidate& candidate) {
    Runner runner{candidate.name, nullptr, std::make_unique<Arena>(), std::make_unique<Arena>()};
    if (!candidate.make(&runner.operation).ok()) return;
    const std::string text = runner.operation->describe();
    const auto same = [&](const Runner& other) { return other.operation->describe() == text; };
    if (std::any_of(runners_.begin(), runners_.end(), same)) return;
    if (!runner.workspace->allocate(runner.operation->workspace_bytes()).ok()) return;
    const size_t kept = runner.operation->kept().bytes;
    if (kept > 0 && !runner.kept->allocate(kept).ok()) return;
    if (!runner.run(operands_, pool_)) return;
    // What makes something to keep does so once, before its time counts.
    const bool given_up = kept == 0 && runner.spent > kChance && runner.best > kHopelessCold * best_;
    if (!given_up && !runner.run(operands_, pool_)) return;
    best_ = std::min(best_, runner.best);
    runners_.push_back(std::move(runner));
  }

  void run(int rounds) {
    for (int round = 0; round < rounds; ++round) {
      for (Runner& runner : runners_) {
        const bool hopeful = runner.best <= kHopeless * best_;
        if (runner.spent > (hopeful ? kBudget : kChance) && (round > 0 || !hopeful)) continue;
        runner.run(operands_, pool_);
        best_ = std::min(best_, runner.best);
      }
    }
  }

  // The fastest first; the first that entered before others that are hardly faster.
  std::vector<Timing> timings() const {
    std::vector<Timing> sorted;
    for (const Runner& runner : runners_) sorted.push_back({runner.name, runner.best});
    if (sorted.empty()) return {};
    const Timing model = sorted[0];
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const Timing& a, const Timing& b) { return a.milliseconds < b.milliseconds; });
    if (sorted[0].milliseconds > kMargin * model.milliseconds) {
      const auto at =
          std::find_if(sorted.begin(), sorted.end(), [&](const Timing& t) { return t.candidate == model.candidate; });
      std::rotate(sorted.begin(), at, at + 1);
    }
    return sorted;
  }

 private:
  Operands operands_;
  ThreadPool pool_;
  std::vector<Runner> runners_;
  double best_ = INFINITY;
};

// The algorithms first, then other tiles of the fastest of them, then other cuts into tasks of the fastest of those.
std::vector<Timing> measure(const OpSpec& spec, const std::vector<Candidate>& candidates) {
  Race race(spec.threads);
  if (!race.prepare(spec).ok()) return {};
  for (const Candidate& candidate : candidates)
    if (candidate.of.empty()) race.enter(candidate);
  race.run(kRounds - 1);
  std::vector<Timing> timings = race.timings();
  for (std::string fastest; !timings.empty() && timings[0].candidate != fastest; timings = race.timings()) {
    fastest = timings[0].candidate;
    for (const Candidate& candidate : candidates)
      if (candidate.of == fastest) race.enter(candidate);
    race.run(kBlockingRounds - 1);
  }
  return timings;
}

// The operation, and a word on how it was chosen.
class Planned : public Operation {
 public:
  Planned(std::unique_ptr<Operation> operation, std::string why)
      : operation_(std::move(operation)), why_(std::move(why)) {}
  size_t workspace_bytes() const override { return operation_->workspace_bytes(); }
  Kept kept() const override { return operation_->kept(); }
  Status run(const RunContext& context) const override { return operation_->run(context); }
  int64_t epilogue_slots() const override { return operation_->epilogue_slots(); }
  std::vector<std::vector<double>> loops() const override { return operation_->loops(); }
  std::string describe() const override { return operation_->describe() + "; " + why_; }

 private:
  std::unique_ptr<Operation> operation_;
  std::string why_;
};

std::string measured_text(const std::vector<Timing>& timings) {
  std::string text = "measured " + std::to_string(timings.size()) + " candidates: ";
  for (size_t i = 0; i < timings.size(); ++i) {
    char milliseconds[32];
    std::snprintf(milliseconds, sizeof(milliseconds), " %.3g ms", timings[i].milliseconds);
    text += (i ? ", " : "") + timings[i].candidate + milliseconds;
  }
  return text;
}

double operand_bytes(const OpSpec& spec) {
  double bytes = 0;
  for (const auto* operands : {&spec.inputs, &spec.outputs}) {
    for (const Operand& operand : *operands) bytes += operand.present ? static_cast<double>(operand.bytes()) : 0;
  }
  return bytes;
}

// What is remembered for the key, when all of it are candidates of this shape.
std::vector<Timing> remembered(const std::string& key, const std::vector<Candidate>& candidates) {
  std::lock_guard<std::mutex> lock(memory().mutex);
  const auto found = memory().plans.find(key);
  if (found == memory().plans.end()) return {};
  for (const Timing& timing : found->second) {
    const auto same = [&](const Candidate& candidate) { return candidate.name == timing.candidate; };
    if (std::none_of(candidates.begin(), candidates.end(), same)) return {};
  }
  return found->second;
}

std::vector<Timing> find_or_measure(const OpSpec& spec, const std::string& key,
                                    const std::vector<Candidate>& candidates) {
  std::vector<Timing> timings = remembered(key, candidates);
  if (!timings.empty()) return timings;
  static std::mutex& one_at_a_time = *new std::mutex;  // environments that compile at once would disturb each other
  std::lock_guard<std::mutex> measuring(one_at_a_time);
  timings = remembered(key, candidates);
  if (!timings.empty()) return timings;
  timings = measure(spec, candidates);
  if (timings.empty()) return timings;
  std::lock_guard<std::mutex> lock(memory().mutex);
  if (memory().plans.size() < kMostPlans || memory().plans.count(key) > 0) memory().plans[key] = timings;
  return timings;
}

char operand_letter(const Operand& operand) {
  if (!operand.present) return '-';
  if (operand.dtype == DType::kBfloat16) return 'H';
  return operand.layout == Layout::kBlocked ? 'B' : 'P';
}

// Everything that decides which way is the fastest, but the number of threads: all of a process compute the same bits.
std::string key_of(const OpSpec& spec, const std::string& problem) {
  static const char* const precisions[] = {"highest", "high", "medium"};
  std::string key = spec.name + " " + problem;
  for (const auto* operands : {&spec.inputs, &spec.outputs}) {
    key += " ";
    for (const Operand& operand : *operands) key += operand_letter(operand);
  }
  if (spec.attributes.has("activation") && spec.attributes.text("activation") == "relu") key += " relu";
  return key + " " + precisions[static_cast<int>(spec.precision)];
}

// Those of the name `only`, or of any when it is empty; the first of each name.
std::vector<Candidate> distinct(const std::vector<Candidate>& candidates, const std::string& only) {
  std::vector<Candidate> kept;
  for (const Candidate& candidate : candidates) {
    const auto same = [&](const Candidate& other) { return other.name == candidate.name; };
    if ((only.empty() || only == candidate.name) && std::none_of(kept.begin(), kept.end(), same))
      kept.push_back(candidate);
  }
  return kept;
}

}  // namespace

Status make_planned(const OpSpec& spec, const std::string& problem, double flops, const std::vector<Candidate>& all,
                    std::unique_ptr<Operation>* operation) {
  const std::string only = spec.attributes.has("algorithm") ? spec.attributes.text("algorithm") : "";
  const std::string key = key_of(spec, problem);
  const std::vector<Candidate> candidates = distinct(all, only);
  if (candidates.empty())
    return {Code::kBackend, spec.name + ": no algorithm " + only.substr(0, 64) + " for " + problem};
  const double bytes = operand_bytes(spec);
  const bool choice = candidates.size() > 1 && (flops >= kLeastFlops || bytes >= kLeastBytes);
  if (!choice) return candidates[0].make(operation);
  std::vector<Timing> timings;
  if (spec.measure && bytes < kMostBytes) timings = find_or_measure(spec, key, candidates);
  size_t chosen = 0;
  for (size_t i = 0; i < candidates.size() && !timings.empty(); ++i) {
    if (candidates[i].name == timings[0].candidate) chosen = i;
  }
  std::unique_ptr<Operation> made;
  FOVEA_RETURN_IF_ERROR(candidates[chosen].make(&made));
  *operation = std::make_unique<Planned>(std::move(made), timings.empty() ? "fixed: model" : measured_text(timings));
  return {};
}

Plans plans() {
  std::lock_guard<std::mutex> lock(memory().mutex);
  return memory().plans;
}

void add_plans(const Plans& plans) {
  std::lock_guard<std::mutex> lock(memory().mutex);
  for (const auto& [key, timings] : plans) {
    if (memory().plans.size() >= kMostPlans) return;
    if (!timings.empty()) memory().plans.emplace(key, timings);
  }
}

}  // namespace fovea
