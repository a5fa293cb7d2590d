// Where in the arena the workspaces of a program's steps lie.
#pragma once
#include <cstdint>
#include <vector>

namespace fovea {

struct ProgramSpec;

struct Workspaces {
  std::vector<uint64_t> offsets;  // by step
  uint64_t arena_bytes = 0;       // of an arena that holds the values and all workspaces
};

// A step's workspace goes into the first gap between the values that live while it runs: most steps do not run at the
// arena's peak. But where that makes the arena hardly larger, workspaces have an area of their own behind all values:
// there each thread finds the lines of its part in its own caches, and not what other cores have written meanwhile.
Workspaces place_workspaces(const ProgramSpec& spec, const std::vector<uint64_t>& wanted);

}  // namespace fovea
