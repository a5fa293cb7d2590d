#include "cpu/limits.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>
#include <limits>
#include <sstream>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#include <unistd.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace fovea {
namespace {

std::string read_text(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  if (file) text << file.rdbuf();
  return text.str();
}

// Calls visit(directory, version) for every group that the process is in and every group above it.
// The path may be hidden by a namespace, so directories that are not there are visited too.
void visit_groups(const std::string& membership, const std::string& root, const std::string& controller,
                  const std::function<void(const std::string&, int)>& visit) {
  std::istringstream lines(membership);
  std::string line;
  while (std::getline(lines, line)) {  // "hierarchy:controllers:path", controllers empty in version 2
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    std::string path = line.substr(second + 1);
    const bool unified = controllers.empty();
    if (!unified && ("," + controllers + ",").find("," + controller + ",") == std::string::npos) continue;
    const std::vector<std::string> mounts =
        unified ? std::vector<std::string>{root, root + "/unified"}
                : std::vector<std::string>{root + "/" + controllers, root + "/" + controller};
    for (;;) {
      if (path == "/") path.clear();
      for (const std::string& mount : mounts) visit(mount + path, unified ? 2 : 1);
      if (path.empty()) break;
      const size_t slash = path.rfind('/');
      path.resize(slash == std::string::npos ? 0 : slash);
    }
  }
}

#if defined(__linux__)
int affinity_threads() {
  for (size_t cpus = 1024; cpus <= (1u << 18); cpus *= 4) {  // the kernel refuses masks shorter than its own
    cpu_set_t* set = CPU_ALLOC(cpus);
    if (!set) break;
    const size_t bytes = CPU_ALLOC_SIZE(cpus);
    const bool ok = sched_getaffinity(0, bytes, set) == 0;
    const int count = ok ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (ok) return count;
  }
  return int(std::thread::hardware_concurrency());
}
#else
int affinity_threads() { return int(std::thread::hardware_concurrency()); }
#endif

uint64_t system_memory(const char* field) {
#if defined(__linux__)
  std::istringstream lines(read_text("/proc/meminfo"));
  std::string name, unit;
  uint64_t kib;
  while (lines >> name >> kib) {
    if (name == field) return kib * 1024;
    std::getline(lines, unit);
  }
  return uint64_t(sysconf(_SC_PHYS_PAGES)) * uint64_t(sysconf(_SC_PAGESIZE));
#elif defined(__APPLE__)
  (void)field;
  uint64_t bytes = 0;
  size_t size = sizeof(bytes);
  if (sysctlbyname("hw.memsize", &bytes, &size, nullptr, 0) == 0) return bytes;
#endif
  return std::numeric_limits<uint64_t>::max();
}

}  // namespace

double cgroup_cpu_limit(const std::string& membership, const std::string& root) {
  double limit = 0;
  visit_groups(membership, root, "cpu", [&](const std::string& directory, int version) {
    double quota = 0, period = 0;
    if (version == 2) {
      std::istringstream text(read_text(directory + "/cpu.max"));  // "max 100000" or "150000 100000"
      if (!(text >> quota >> period)) return;
    } else {
      std::istringstream quota_text(read_text(directory + "/cpu.cfs_quota_us"));  // -1 for no limit
      std::istringstream period_text(read_text(directory + "/cpu.cfs_period_us"));
      if (!(quota_text >> quota) || !(period_text >> period)) return;
    }
    if (quota <= 0 || period <= 0) return;
    const double cpus = quota / period;
    limit = limit == 0 ? cpus : std::min(limit, cpus);
  });
  return limit;
}

uint64_t cgroup_memory_limit(const std::string& membership, const std::string& root) {
  uint64_t limit = 0;
  visit_groups(membership, root, "memory", [&](const std::string& directory, int version) {
    std::istringstream text(read_text(directory + (version == 2 ? "/memory.max" : "/memory.limit_in_bytes")));
    uint64_t bytes = 0;
    if (!(text >> bytes) || bytes == 0) return;  // "max"
    limit = limit == 0 ? bytes : std::min(limit, bytes);
  });
  return limit;
}

int available_threads() {
  int threads = std::max(1, affinity_threads());
  const double quota = cgroup_cpu_limit(read_text("/proc/self/cgroup"), "/sys/fs/cgroup");
  if (quota > 0) threads = std::min(threads, std::max(1, int(std::ceil(quota))));
  return threads;
}

namespace {

uint64_t within_group(uint64_t bytes) {
  const uint64_t limit = cgroup_memory_limit(read_text("/proc/self/cgroup"), "/sys/fs/cgroup");
  return limit == 0 ? bytes : std::min(bytes, limit);
}

}  // namespace

uint64_t available_memory() { return within_group(system_memory("MemAvailable:")); }
uint64_t total_memory() { return within_group(system_memory("MemTotal:")); }

}  // namespace fovea
