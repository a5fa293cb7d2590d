// How many threads and how much memory this process may use, as affinity masks and control groups have it.
#pragma once
#include <cstdint>
#include <string>

namespace fovea {

// min(CPUs in the affinity mask, control group quota rounded up), at least 1.
int available_threads();

// Bytes that could be taken now without swapping: the system's estimate, and never more than the control group's limit.
uint64_t available_memory();
uint64_t total_memory();  // what there would be if nobody used any

// CPUs that the control groups named in `membership` (the text of /proc/self/cgroup) may use; 0 for no limit. `root` is
// where they are mounted, /sys/fs/cgroup. Versions 1 and 2, the strictest group on the way up to the root.
double cgroup_cpu_limit(const std::string& membership, const std::string& root);
uint64_t cgroup_memory_limit(const std::string& membership, const std::string& root);  // bytes; 0 for no limit

}  // namespace fovea
