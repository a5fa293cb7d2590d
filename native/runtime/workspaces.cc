#include "runtime/workspaces.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <set>
#include <utility>

#include "runtime/arena.h"
#include "runtime/program.h"

namespace fovea {
namespace {

// How much larger the arena may become for an area of workspaces: a training step's peak is what people buy memory for,
// a forward pass has a fraction of it.
constexpr uint64_t kAnyway = 2u << 20;  // bytes
constexpr uint64_t kShareTraining = 100, kShareInference = 4;

constexpr uint64_t round_up(uint64_t bytes) {
  return (bytes + Arena::kAlignment - 1) / Arena::kAlignment * Arena::kAlignment;
}

// visit(value) for every value of the arena that a step names.
template <class Visit>
void for_values(const ProgramSpec& spec, const std::vector<int64_t>& named, const Visit& visit) {
  for (int64_t value : named) {
    if (value >= 0 && spec.values[size_t(value)].external < 0) visit(size_t(value));
  }
}

// By step, the values of the arena whose life begins and ends there. It begins where they are first written; one that
// is read first is another name for what stands at its place, and lives since that was written, or from the start.
struct Lives {
  std::vector<std::vector<size_t>> starting, ending;
};

Lives lives_of(const ProgramSpec& spec) {
  const size_t steps = spec.steps.size();
  Lives lives{std::vector<std::vector<size_t>>(steps), std::vector<std::vector<size_t>>(steps)};
  std::vector<size_t> last(spec.values.size(), steps);  // step that names it
  std::map<uint64_t, size_t> written;                   // last step that did, by offset
  for (size_t s = 0; s < steps; ++s) {
    const auto start = [&](size_t value, size_t step) {
      if (last[value] == steps) lives.starting[step].push_back(value);
      last[value] = s;
    };
    for_values(spec, spec.steps[s].inputs, [&](size_t value) {
      const auto found = written.find(spec.values[value].offset);
      start(value, found == written.end() ? 0 : found->second);
    });
    for_values(spec, spec.steps[s].outputs, [&](size_t value) {
      start(value, s);
      written[spec.values[value].offset] = s;
    });
  }
  for (size_t value = 0; value < last.size(); ++value) {
    if (last[value] < steps) lives.ending[last[value]].push_back(value);
  }
  return lives;
}

// The largest of the workspaces that an arena of `most` bytes holds behind the values; 0 when there is none.
uint64_t largest_behind(uint64_t values, uint64_t most, const std::vector<uint64_t>& wanted) {
  uint64_t largest = 0;
  for (uint64_t bytes : wanted) {
    if (values + bytes <= most) largest = std::max(largest, bytes);
  }
  return largest;
}

using Living = std::set<std::pair<uint64_t, size_t>>;  // offset and value

// Where `bytes` first fit between values, or behind them.
uint64_t first_gap(const ProgramSpec& spec, const Living& living, uint64_t bytes) {
  uint64_t end = 0;  // of the values below the gap
  for (const auto& [offset, value] : living) {
    if (offset >= end + bytes) break;
    end = std::max(end, round_up(offset + spec.values[value].operand.bytes()));
  }
  return end;
}

// Those of up to `behind` bytes behind all values, others into gaps.
Workspaces place(const ProgramSpec& spec, const Lives& lives, const std::vector<uint64_t>& wanted, uint64_t behind) {
  Workspaces placed{std::vector<uint64_t>(wanted.size(), 0), spec.arena_bytes};
  Living living;
  for (size_t s = 0; s < wanted.size(); ++s) {
    for (size_t value : lives.starting[s]) living.emplace(spec.values[value].offset, value);
    if (const uint64_t bytes = wanted[s]) {
      const uint64_t at = bytes <= behind ? round_up(spec.arena_bytes) : first_gap(spec, living, bytes);
      placed.offsets[s] = at;
      placed.arena_bytes = std::max(placed.arena_bytes, at + bytes);
    }
    for (size_t value : lives.ending[s]) living.erase({spec.values[value].offset, value});
  }
  return placed;
}

}  // namespace

Workspaces place_workspaces(const ProgramSpec& spec, const std::vector<uint64_t>& wanted) {
  const Lives lives = lives_of(spec);
  Workspaces dense = place(spec, lives, wanted, 0);
  const uint64_t share = spec.steady.empty() ? kShareTraining : kShareInference;
  const uint64_t most = dense.arena_bytes + std::max(kAnyway, dense.arena_bytes / share);
  const uint64_t behind = largest_behind(round_up(spec.arena_bytes), most, wanted);
  return behind > 0 ? place(spec, lives, wanted, behind) : dense;
}

}  // namespace fovea
