// Which of several ways an operator is computed: the model's choice, or the one that was measured to be the fastest and
// is remembered, in the process and by whoever carries plans() to a file and back.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernels/brgemm/brgemm.h"
#include "runtime/operation.h"

namespace fovea {

// One way, in the order of the model's preference. Its name stands for the algorithm and the blocking: the same name on
// the same shape computes the same bits, whatever the number of threads.
struct Candidate {
  std::string name;
  std::function<Status(std::unique_ptr<Operation>*)> make;
  std::string of = {};  // the candidate that this is another blocking of: measured only if that is the fastest so far
};

struct Timing {
  std::string candidate;
  double milliseconds;
};

// Makes the first candidate or, when spec.measure asks for it, the fastest for the shape that `problem` names: measured
// now, with spec.threads threads, unless it is remembered. Measuring takes some 20 milliseconds for each candidate that
// stands a chance, and memory for the operands. Of candidates of the same name the first counts. The attribute
// `algorithm` of a step, which tests and benches set, leaves only the one of that name.
Status make_planned(const OpSpec& spec, const std::string& problem, double flops,
                    const std::vector<Candidate>& candidates, std::unique_ptr<Operation>* operation);

// One way to compute a problem. An operator lists its algorithms best first: the first that supports the case is the
// model's choice, the others may be measured against it.
template <class Problem>
struct Algorithm {
  const char* name;
  bool (*supports)(const OpSpec& spec, const Problem& problem);
  Status (*make)(const OpSpec& spec, const Problem& problem, std::unique_ptr<Operation>* operation);
  bool tiled = false;  // kTiled: minds spec.tile_blocks and spec.cut, and is measured with tiles of every width, the
                       // fastest of them also cut into more and into fewer tasks
};
constexpr bool kTiled = true;

// The best of them. problem.key() names the problem's shape, all of it, flops() its operations.
template <class Problem, size_t N>
Status make_best(const Algorithm<Problem> (&algorithms)[N], const OpSpec& spec, const Problem& problem,
                 std::unique_ptr<Operation>* operation) {
  std::vector<Candidate> candidates;
  for (const Algorithm<Problem>& algorithm : algorithms) {
    if (!algorithm.supports(spec, problem)) continue;
    const auto add = [&](int tile_blocks, double cut, const std::string& name, const std::string& of) {
      const auto make = [&algorithm, &spec, &problem, tile_blocks, cut](std::unique_ptr<Operation>* made) {
        OpSpec blocked = spec;
        blocked.tile_blocks = tile_blocks;
        blocked.cut = cut;
        return algorithm.make(blocked, problem, made);
      };
      candidates.push_back({name, make, of});
    };
    for (int nb = 0; nb <= (algorithm.tiled ? kBrgemmMaxBlocks : 0); ++nb) {
      const std::string name = algorithm.name, tiles = nb == 0 ? name : name + " x" + std::to_string(nb * kBlock);
      add(nb, 1, tiles, nb == 0 ? "" : name);
      if (!algorithm.tiled) continue;
      add(nb, 2, tiles + " finer", tiles);
      add(nb, 0.5, tiles + " coarser", tiles);
    }
  }
  return make_planned(spec, problem.key(), problem.flops(), candidates, operation);
}

// What is remembered: for each key what was measured, the fastest first.
using Plans = std::map<std::string, std::vector<Timing>>;
Plans plans();
// Remembers more, without trust: what names no candidate of its shape is measured again. What is known already stays.
void add_plans(const Plans& plans);

}  // namespace fovea
