#include "runtime/keeping.h"

#include <algorithm>
#include <map>
#include <set>

#include "runtime/fingerprint.h"
#include "runtime/program.h"

namespace fovea {
namespace {

// Operators that make nothing but weights of weights, without random numbers: lib/graph/fold.ts.
bool folds(const StepSpec& step) { return step.name == "batchNormInfer"; }

constexpr int64_t kNobody = -1;
constexpr uint64_t kMost = uint64_t(1) << 60;  // far from what 64 bits hold, and from what an arena gives

std::vector<std::vector<int64_t>> makers_of(const ProgramSpec& spec) {
  std::vector<std::vector<int64_t>> makers(spec.steps.size());
  std::map<uint64_t, int64_t> last;  // step that wrote at an offset of the arena
  for (size_t s = 0; s < spec.steps.size(); ++s) {
    for (int64_t value : spec.steps[s].inputs) {
      const bool inside = value >= 0 && spec.values[size_t(value)].external < 0;
      const auto found = inside ? last.find(spec.values[size_t(value)].offset) : last.end();
      makers[s].push_back(found == last.end() ? kNobody : found->second);
    }
    for (int64_t value : spec.steps[s].outputs) {
      if (value >= 0 && spec.values[size_t(value)].external < 0) last[spec.values[size_t(value)].offset] = int64_t(s);
    }
  }
  return makers;
}

int64_t external_of(const ProgramSpec& spec, int64_t value) {
  return value < 0 ? -1 : spec.values[size_t(value)].external;
}

bool changes_what_it_reads(const ProgramSpec& spec) {
  std::set<int64_t> read;
  for (const StepSpec& step : spec.steps)
    for (int64_t value : step.inputs) read.insert(external_of(spec, value));
  for (const StepSpec& step : spec.steps) {
    for (int64_t value : step.outputs) {
      if (external_of(spec, value) >= 0 && read.count(external_of(spec, value))) return true;
    }
  }
  return false;
}

}  // namespace

void Keeping::look_at(const ProgramSpec& spec) {
  makers_ = makers_of(spec);
  const std::set<int64_t> named(spec.steady.begin(), spec.steady.end());
  const bool none = changes_what_it_reads(spec);
  for (size_t s = 0; s < spec.steps.size(); ++s) {
    const StepSpec& step = spec.steps[s];
    std::vector<char> inputs;
    bool all = folds(step);
    for (size_t i = 0; i < step.inputs.size(); ++i) {
      const int64_t external = external_of(spec, step.inputs[i]), maker = makers_[s][i];
      const bool steady =
          !none && (external >= 0 ? named.count(external) > 0 : maker != kNobody && steps_[size_t(maker)] != 0);
      inputs.push_back(steady);
      if (step.inputs[i] >= 0 && !steady) all = false;
    }
    for (int64_t value : step.outputs) {
      if (external_of(spec, value) >= 0) all = false;
    }
    steps_.push_back(all);
    inputs_.push_back(std::move(inputs));
  }
}

Status Keeping::plan(const ProgramSpec& spec, const std::vector<Kept>& kept) {
  frozen_ = spec.frozen;
  offsets_.assign(spec.steps.size(), kNone);
  left_out_.assign(spec.steps.size(), 0);
  for (size_t s = 0; s < kept.size(); ++s) {
    if (kept[s].bytes == 0) continue;
    if (kept[s].bytes > kMost || bytes_ > kMost) return {Code::kMemory, "program: too much is kept of weights"};
    offsets_[s] = bytes_;
    bytes_ += (kept[s].bytes + Arena::kAlignment - 1) / Arena::kAlignment * Arena::kAlignment;
  }
  if (bytes_ == 0) return {};
  find_left_out(kept);
  find_watched(spec, kept);
  return memory_.allocate(bytes_);
}

// The steps that fold, all of whose readers keep what they make of it or are left out themselves.
void Keeping::find_left_out(const std::vector<Kept>& kept) {
  left_out_ = steps_;
  for (size_t s = steps_.size(); s-- > 0;) {
    for (size_t i = 0; i < makers_[s].size() && !left_out_[s]; ++i) {
      if (makers_[s][i] != kNobody && !kept[s].of(i)) left_out_[size_t(makers_[s][i])] = 0;
    }
  }
}

// The external values that something is kept of, directly or folded.
void Keeping::find_watched(const ProgramSpec& spec, const std::vector<Kept>& kept) {
  std::vector<char> watched(spec.steps.size(), 0);  // all that the step reads
  std::map<size_t, size_t> externals;               // and their bytes
  for (size_t s = spec.steps.size(); s-- > 0;) {
    for (size_t i = 0; i < makers_[s].size(); ++i) {
      const int64_t value = spec.steps[s].inputs[i];
      if (value < 0 || !(watched[s] || kept[s].of(i))) continue;
      const int64_t external = external_of(spec, value);
      if (external >= 0)
        externals[size_t(external)] = spec.values[size_t(value)].operand.bytes();
      else if (makers_[s][i] != kNobody)
        watched[size_t(makers_[s][i])] = 1;
    }
  }
  for (const auto& [external, bytes] : externals) watched_.push_back({external, bytes});
}

std::vector<uint64_t> Keeping::look(void* const* data, ThreadPool& pool) const {
  std::vector<Bytes> arrays;
  for (const Watched& watched : watched_) arrays.push_back({data[watched.external], watched.bytes});
  return fingerprint(arrays, pool);
}

bool Keeping::holds(void* const* data, ThreadPool& pool) {
  if (frozen_) return known_;
  std::vector<uint64_t> now = look(data, pool);
  if (known_ && now == seen_) return true;
  known_ = false;
  seen_ = std::move(now);
  return false;
}

void Keeping::made(void* const* data, ThreadPool& pool) {
  if (waited_ < wait_)
    ++waited_;
  else
    known_ = frozen_ || look(data, pool) == seen_;
}

void Keeping::used(bool useful) {
  waited_ = 0;
  wait_ = useful ? 0 : std::min(2 * wait_ + 1, kMostWait);
  known_ = useful;
}

}  // namespace fovea
