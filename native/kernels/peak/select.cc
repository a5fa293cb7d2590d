#include <algorithm>
#include <chrono>
#include <functional>
#include <vector>

#include "cpu/features.h"
#include "kernels/peak/peak.h"
#include "runtime/thread_pool.h"

namespace fovea {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// `work(thread)` says how much it did. A task lasts long enough for every thread to take one; were it a loop over many
// short tasks, handing them out would be measured too.
double best_rate(int threads, double seconds, const std::function<int64_t(int64_t)>& work) {
  constexpr int kAttempts = 3;
  ThreadPool pool(threads);
  double best = 0;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    std::vector<double> rates(size_t(threads), 0);
    pool.parallel_for(threads, [&](int64_t task, int) {
      int64_t done = 0;
      const Clock::time_point start = Clock::now();
      double passed = 0;
      do {
        done += work(task);
        passed = seconds_since(start);
      } while (passed < seconds / kAttempts);
      rates[size_t(task)] = double(done) / passed * 1e-9;
    });
    double sum = 0;
    for (double rate : rates) sum += rate;
    best = std::max(best, sum);
  }
  return best;
}

}  // namespace

PeakKernel select_peak(PeakKind kind) {
  struct Row {
    PeakKind kind;
    Isa needs;
    PeakKernel kernel;
  };
  static const Row rows[] = {
#define PEAK_KERNEL(name, kind, needs) {PeakKind::kind, needs, name},
#include "kernels/peak/kernels.inc"
#undef PEAK_KERNEL
  };
  for (const Row& row : rows) {
#ifdef FOVEA_X86
    if (row.kernel == peak_avx512vnni && !cpu_features().vnni) continue;
#endif
    if (row.kind == kind && cpu_features().isa >= row.needs) return row.kernel;
  }
  return nullptr;
}

double measure_peak(PeakKind kind, int threads, double seconds) {
  const PeakKernel kernel = select_peak(kind);
  if (!kernel) return 0;
  return best_rate(threads, seconds, [kernel](int64_t) {
    alignas(64) float data[16] = {};
    return kernel(1 << 12, data, 0);  // some 50 microseconds
  });
}

double measure_bandwidth(int threads, size_t bytes, double seconds) {
  const PeakKernel kernel = select_peak(PeakKind::kMemory);
  constexpr int64_t kLine = 64;  // floats, at least: what a kernel takes at once
  const int64_t floats =
      std::max<int64_t>(int64_t(bytes / sizeof(float)) / (2 * threads) / kLine, 1) * kLine;  // of one array of a thread
  std::vector<std::vector<float>> data(static_cast<size_t>(threads));
  for (auto& arrays : data) arrays.assign(size_t(2 * floats), 0.0f);
  const int64_t rounds = std::max<int64_t>(1, (int64_t(1) << 14) / floats);
  return best_rate(threads, seconds, [&](int64_t task) { return kernel(rounds, data[size_t(task)].data(), floats); });
}

}  // namespace fovea
