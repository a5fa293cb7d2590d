// Which of several ways an operator is computed: the model's choice, or the one that was measured to be the fastest and
// is remembered, in the process and by whoever carries plans() to a file and back.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/operation.h"

namespace fovea {

// One way, in the order of the model's preference. Its name stands for the algorithm and the blocking: the same name on
// the same shape computes the same bits, whatever the number of threads.
struct Candidate {
  std::string name;
  std::function<Status(std::unique_ptr<Operation>*)> make;
};

struct Timing {
  std::string candidate;
  double milliseconds;
};

// Makes the first candidate or, when spec.measure asks for it, the fastest for the shape that `key` names: measured
// now, with spec.threads threads, unless it is remembered. Measuring takes some 20 milliseconds for each candidate that
// stands a chance, and memory for the operands.
Status make_planned(const OpSpec& spec, const std::string& key, double flops, const std::vector<Candidate>& candidates,
                    std::unique_ptr<Operation>* operation);

// What is remembered: for each key what was measured, the fastest first.
using Plans = std::map<std::string, std::vector<Timing>>;
Plans plans();
// Remembers more, without trust: what names no candidate of its shape is measured again. What is known already stays.
void add_plans(const Plans& plans);

}  // namespace fovea
